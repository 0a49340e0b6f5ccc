"""Which paths of one service are slow or fail, and does something stand between us and the network?"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from quorate.errors import ToolError
from quorate.tools.builtin.net.http import HttpStatus, HttpTiming, Prober
from quorate.tools.targets import InvalidTarget, WebTarget, parse_url

MAX_PATHS = 12
MAX_REPEATED = 3
SLOW_TIMES = 4.0
SLOW_MS = 100.0


class PathTiming(Struct, frozen=True, kw_only=True):
    """How one path answered."""

    path: str
    status: HttpStatus
    status_code: int
    total_ms: float
    first_byte_ms: float
    is_slow: bool = False
    """Far slower than the others, also when it is asked alone."""
    is_failing: bool = False
    """No answer, or one of 400 and above."""
    alone_ms: float | None = None
    """The time of a second request with no other beside it; only where the first was slow."""
    detail: str = ""


class Comparison(Struct, frozen=True, kw_only=True):
    """How the paths of one service compare."""

    url: str
    paths: tuple[PathTiming, ...]
    median_ms: float
    slowest: str
    slow_paths: tuple[str, ...]
    failing_paths: tuple[str, ...]


class PortalReport(Struct, frozen=True, kw_only=True):
    """Whether a page whose answer is known came back changed."""

    url: str
    verdict: Literal["open", "captive", "no_answer"]
    status_code: int = 0
    location: str = ""
    detail: str = ""


async def compare_paths(url: str, paths: Sequence[str], prober: Prober) -> Comparison:
    """Ask for several paths at once; those that look slow are asked again alone.

    At most three are asked again, the slowest first.
    A service that works on one request at a time makes all that wait look slow; the second request tells them apart.

    Raises:
        InvalidTarget: The URL or a path is not well formed.
        TargetBlocked: The policy does not allow the host.
    """
    base = parse_url(url)
    wanted = [_join(base, path) for path in dict.fromkeys(paths)]
    if not 1 <= len(wanted) <= MAX_PATHS:
        raise ToolError(f"Give 1 to {MAX_PATHS} paths, not {len(wanted)}.")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(prober.measure(target.url)) for target in wanted]
    found = [_describe(target, task.result()) for target, task in zip(wanted, tasks, strict=True)]
    # A refused connection is quick, and no measure of what the service takes.
    fast_ms = min((one.total_ms for one in found if one.status == "answered"), default=0.0)
    slow = [place for place, one in enumerate(found) if one.status == "answered" and is_slow(one.total_ms, fast_ms)]
    for place in sorted(slow, key=lambda place: -found[place].total_ms)[:MAX_REPEATED]:
        again = (await prober.measure(wanted[place].url)).total_ms
        found[place] = structs.replace(found[place], alone_ms=again, is_slow=is_slow(again, fast_ms))
    return Comparison(
        url=base.url,
        paths=tuple(found),
        median_ms=round(statistics.median(one.total_ms for one in found), 3),
        slowest=max(found, key=lambda one: one.total_ms if one.alone_ms is None else one.alone_ms).path,
        slow_paths=tuple(one.path for one in found if one.is_slow),
        failing_paths=tuple(one.path for one in found if one.is_failing),
    )


async def find_portal(url: str, expected_status: int, prober: Prober) -> PortalReport:
    """Ask for a page whose answer is known; another answer means that something answers in its place.

    Raises:
        InvalidTarget: The URL is not well formed, or uses TLS, which nobody can answer in another's place.
        TargetBlocked: The policy does not allow the host.
    """
    target = parse_url(url)
    if target.scheme != "http":
        raise InvalidTarget(f"{url!r} uses TLS; give a page by `http://`, since that is what a portal can answer.")
    seen = await prober.measure(target.url)
    if seen.status != "answered":
        return PortalReport(url=target.url, verdict="no_answer", detail=seen.detail or seen.status)
    as_expected = seen.status_code == expected_status
    return PortalReport(
        url=target.url,
        verdict="open" if as_expected else "captive",
        status_code=seen.status_code,
        location=seen.headers.get("location", ""),
        detail="" if as_expected else f"it answered {seen.status_code} instead of {expected_status}",
    )


def is_slow(total_ms: float, fast_ms: float) -> bool:
    """Whether a time stands out beside that of the fastest path."""
    return total_ms > SLOW_TIMES * fast_ms and total_ms > fast_ms + SLOW_MS


def _join(base: WebTarget, path: str) -> WebTarget:
    if not path.startswith("/"):
        raise InvalidTarget(f"{path[:80]!r} is no path; it begins with `/`, such as `/health`.")
    return parse_url(structs.replace(base, path="").url + path)


def _describe(target: WebTarget, seen: HttpTiming) -> PathTiming:
    return PathTiming(
        path=target.path,
        status=seen.status,
        status_code=seen.status_code,
        total_ms=seen.total_ms,
        first_byte_ms=seen.phases.first_byte_ms,
        is_failing=seen.status != "answered" or seen.status_code >= 400,
        detail=seen.detail,
    )
