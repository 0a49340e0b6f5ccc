"""Which artifacts are there that fit what somebody is looking for?"""

from __future__ import annotations

import base64
import binascii
import fnmatch
from collections.abc import AsyncGenerator, Mapping

from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.ports import ArtifactInfo, Entry
from quorate.state.artifacts.access import Caller, Record, may_read, read_record
from quorate.state.artifacts.names import Keys, fold
from quorate.state.artifacts.store import ArtifactStore

PAGE = 500
MOST_FOUND = 1000
MAX_PATTERN = 256
_WILD = "*?["


class ArtifactQuery(Struct, frozen=True, kw_only=True):
    """What is looked for; all that is given must fit."""

    name: str = ""
    """A name, its beginning with a `*` behind it, or any pattern of `*`, `?` and `[…]`."""
    media_type: str = ""
    """Such as `text/csv`, or `text/*`."""
    labels: Mapping[str, str] = {}
    session: str = ""
    run: str = ""
    principal: str = ""
    digest: str = ""
    since: float | None = None
    """Saved at this time or later."""
    before: float | None = None
    """Saved earlier than this time."""
    min_size: int = 0
    max_size: int | None = None


class ArtifactPage(Struct, frozen=True, kw_only=True):
    """Some of what was found."""

    items: tuple[ArtifactInfo, ...]
    next: str = ""
    """Where to go on; empty when this is all."""


async def search_artifacts(
    store: ArtifactStore, query: ArtifactQuery, *, caller: Caller, after: str = "", limit: int = 50
) -> ArtifactPage:
    """Find artifacts that a caller may read, by home and name, the newest version of each first.

    Within a session or a run only what is there is looked at; otherwise all that the tenant has.

    Args:
        store: Where.
        query: What is looked for.
        caller: Who asks.
        after: The `next` of the page before.
        limit: How many at most, up to 1000.

    Raises:
        InvalidInput: `after` or the pattern is not one.
    """
    if len(query.name) > MAX_PATTERN:
        raise InvalidInput(f"a pattern has at most {MAX_PATTERN} characters, not {len(query.name)}.")
    limit = min(max(limit, 1), MOST_FOUND)
    place = _read_cursor(after, caller.tenant)
    given = await _list_shared(store, caller)
    now, found, keys = store.clock.now(), list[ArtifactInfo](), list[str]()
    entries = scan_records(store, _build_prefixes(query, caller.tenant), after=place)
    try:
        async for entry, record in entries:
            visible = record.info.id in given or may_read(record, caller, now=now)
            if not visible or not _fits(record.info, query):
                continue
            if len(found) == limit:
                return ArtifactPage(items=tuple(found), next=base64.urlsafe_b64encode(keys[-1].encode()).decode())
            found.append(record.info)
            keys.append(entry.key)
    finally:
        await entries.aclose()
    return ArtifactPage(items=tuple(found))


async def scan_records(
    store: ArtifactStore, prefixes: tuple[str, ...], *, after: str = ""
) -> AsyncGenerator[tuple[Entry, Record]]:
    """Yield what stands under keys with these beginnings, deleted ones left out, behind a key."""
    for prefix in prefixes:
        place = after if after.startswith(prefix) else ""
        if after and not place and after > prefix:
            continue
        while found := await store.values.scan(prefix, after=place, limit=PAGE):
            for entry in found:
                if entry.value:
                    yield entry, read_record(entry)
            place = found[-1].key


def _build_prefixes(query: ArtifactQuery, tenant: str) -> tuple[str, ...]:
    """Where to look: in order, so that a page goes on behind the one before."""
    keys = Keys(tenant)
    begin = fold(query.name[: next((at for at, c in enumerate(query.name) if c in _WILD), len(query.name))])
    if query.run:
        return (keys.of_run(query.run), keys.of_home(f"run/{query.run}") + begin)
    if query.session:
        return (keys.of_home(f"session/{query.session}") + begin,)
    return (keys.of_home(),)


def _fits(info: ArtifactInfo, query: ArtifactQuery) -> bool:
    return (
        (query.name in ("", info.name) or fnmatch.fnmatchcase(info.name, query.name))
        and (not query.media_type or fnmatch.fnmatchcase(info.media_type, query.media_type))
        and all(info.labels.get(label) == value for label, value in query.labels.items())
        and query.session in ("", info.session)
        and query.run in ("", info.run)
        and query.principal in ("", info.principal)
        and query.digest in ("", info.digest)
        and (query.since is None or info.created >= query.since)
        and (query.before is None or info.created < query.before)
        and info.size >= query.min_size
        and (query.max_size is None or info.size <= query.max_size)
    )


async def _list_shared(store: ArtifactStore, caller: Caller) -> frozenset[str]:
    """List the handles of what a caller was given and is still given."""
    if caller.operator:
        return frozenset()
    keys, found = Keys(caller.tenant), set[str]()
    prefixes = [keys.of_share("tenant", ""), keys.of_share("principal", caller.principal)]
    for prefix in [*prefixes, *([keys.of_share("session", caller.session)] if caller.session else [])]:
        place = ""
        while entries := await store.values.scan(prefix, after=place, limit=PAGE):
            for entry in entries:
                handle = entry.key.rpartition("/")[2]
                if await store.find(handle, caller=caller) is not None:
                    found.add(handle)
            place = entries[-1].key
    return frozenset(found)


def _read_cursor(after: str, tenant: str) -> str:
    if not after:
        return ""
    try:
        place = base64.urlsafe_b64decode(after.encode("ascii")).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"page {after[:40]!r} is not one: give the `next` of the page before.") from error
    if not place.startswith(f"artifact/{tenant}/"):
        raise InvalidInput(f"page {after[:40]!r} is not of this list: begin it anew.")
    return place
