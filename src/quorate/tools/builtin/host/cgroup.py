"""Which limits does the control group set that this process runs in, and how near are they?"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from quorate.tools.builtin.host.facts import percent, read_fact

# The first version writes "no limit" as the largest multiple of a page.
UNLIMITED_BYTES = 1 << 60


class CgroupLimits(Struct, frozen=True, kw_only=True):
    """Limits and use; a limit that is absent is not set."""

    status: str
    """`ok`, or `unavailable` where there are no control groups."""
    reason: str = ""
    version: int | None = None
    path: str = ""
    memory_limit_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_percent: float | None = None
    oom_kills: int | None = None
    """Processes the kernel killed for want of memory."""
    cpu_limit_cores: float | None = None
    cpu_periods: int | None = None
    cpu_throttled_periods: int | None = None
    cpu_throttled_percent: float | None = None
    """The share of periods in which the group was held back."""
    cpu_throttled_s: float | None = None
    pids_limit: int | None = None
    pids_used: int | None = None


def read_cgroup(*, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> CgroupLimits:
    """Read the limits of our own group, and the tightest of those above it."""
    membership = read_fact(proc / "self" / "cgroup")
    if membership is None:
        return CgroupLimits(status="unavailable", reason="this system has no control groups")
    groups = parse_membership(membership)
    # Both versions may be there at once; the second counts where it has the controllers.
    if read_fact(root / "cgroup.controllers"):
        return _read_second(root, groups.get("", "/"))
    if (root / "memory").is_dir() or (root / "cpu").is_dir():
        return _read_first(root, groups)
    return CgroupLimits(status="unavailable", reason=f"no controllers are mounted at {root}")


def parse_membership(text: str) -> dict[str, str]:
    """Read `/proc/self/cgroup`: the path for each controller, and under the empty name that of the second version."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            groups[controller] = path or "/"
    return groups


def _read_second(root: Path, path: str) -> CgroupLimits:
    lineage = _lineage(root, path)
    own = lineage[0]
    stat = _table(own / "cpu.stat")
    quotas = [quota for place in lineage if (quota := _parse_quota(read_fact(place / "cpu.max"))) is not None]
    return _build(
        version=2,
        path=path,
        memory_limit=_tightest(lineage, "memory.max"),
        memory_used=_number(own / "memory.current"),
        oom_kills=_table(own / "memory.events").get("oom_kill"),
        cores=min(quotas, default=None),
        periods=stat.get("nr_periods"),
        throttled=stat.get("nr_throttled"),
        throttled_s=stat["throttled_usec"] / 1e6 if "throttled_usec" in stat else None,
        pids_limit=_tightest(lineage, "pids.max"),
        pids_used=_number(own / "pids.current"),
    )


def _read_first(root: Path, groups: dict[str, str]) -> CgroupLimits:
    memory = _lineage(root / "memory", groups.get("memory", "/"))
    cpu = _lineage(root / "cpu", groups.get("cpu", "/"))
    pids = _lineage(root / "pids", groups.get("pids", "/"))
    stat = _table(cpu[0] / "cpu.stat")
    quotas = [
        quota / period
        for place in cpu
        if (quota := _number(place / "cpu.cfs_quota_us") or 0) > 0
        and (period := _number(place / "cpu.cfs_period_us") or 0) > 0
    ]
    return _build(
        version=1,
        path=groups.get("memory", "/"),
        memory_limit=_tightest(memory, "memory.limit_in_bytes"),
        memory_used=_number(memory[0] / "memory.usage_in_bytes"),
        oom_kills=_table(memory[0] / "memory.oom_control").get("oom_kill"),
        cores=min(quotas, default=None),
        periods=stat.get("nr_periods"),
        throttled=stat.get("nr_throttled"),
        throttled_s=stat["throttled_time"] / 1e9 if "throttled_time" in stat else None,
        pids_limit=_tightest(pids, "pids.max"),
        pids_used=_number(pids[0] / "pids.current"),
    )


def _build(
    *,
    version: int,
    path: str,
    memory_limit: int | None,
    memory_used: int | None,
    oom_kills: int | None,
    cores: float | None,
    periods: int | None,
    throttled: int | None,
    throttled_s: float | None,
    pids_limit: int | None,
    pids_used: int | None,
) -> CgroupLimits:
    return CgroupLimits(
        status="ok",
        version=version,
        path=path,
        memory_limit_bytes=memory_limit,
        memory_used_bytes=memory_used,
        memory_percent=None if memory_limit is None or memory_used is None else percent(memory_used, memory_limit),
        oom_kills=oom_kills,
        cpu_limit_cores=None if cores is None else round(cores, 3),
        cpu_periods=periods,
        cpu_throttled_periods=throttled,
        cpu_throttled_percent=None if periods is None or throttled is None else percent(throttled, periods),
        cpu_throttled_s=throttled_s,
        pids_limit=pids_limit,
        pids_used=pids_used,
    )


def _lineage(root: Path, path: str) -> list[Path]:
    own = root / path.strip("/")
    # In a container the path is often the one outside, and our group is what is mounted as the root.
    if not own.is_dir() or ".." in own.parts:
        return [root]
    return [own, *(place for place in own.parents if place == root or root in place.parents)]


def _tightest(lineage: list[Path], name: str) -> int | None:
    values = [value for place in lineage if (value := _number(place / name)) is not None]
    return min((value for value in values if 0 <= value < UNLIMITED_BYTES), default=None)


def _number(path: Path) -> int | None:
    text = (read_fact(path) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _table(path: Path) -> dict[str, int]:
    rows = (line.split() for line in (read_fact(path) or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _parse_quota(text: str | None) -> float | None:
    quota, _, period = (text or "").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None
