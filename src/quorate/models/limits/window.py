"""How much passed in the last seconds, and how long until there is room again?

A window is the exact record of what passed (a sliding log), not a rate: a bucket that fills up again admits up to
twice its size in some window, and this never admits more than the limit in any.
"""

from __future__ import annotations

from msgspec import Struct, field

from quorate.models.limits.rules import Claim

MAX_ENTRIES = 240
"""From so many on, what passes within so small a part of the window is kept as one, which passes when the last does."""


class Entry(Struct, array_like=True):
    """What passed at a moment; `requests` is more than one where moments were put together."""

    id: int
    time: float
    requests: int
    tokens: int


class Window(Struct):
    """What passed lately: entries in order, and their sums; at most twice `MAX_ENTRIES` are kept."""

    entries: list[Entry] = field(default_factory=list[Entry])
    requests: int = 0
    tokens: int = 0
    last: int = 0
    """The id given out last."""


def build_window(now: float) -> Window:
    """Build a window that nothing has passed; its ids are none that an earlier window of the same key gave out."""
    return Window(last=int(now * 1_000_000))


def trim(window: Window, now: float, per_s: float) -> None:
    """Forget what passed before the window; what seems to come from the future, as clocks jump, passed now."""
    entries = window.entries
    gone = 0
    while gone < len(entries) and entries[gone].time + per_s <= now:
        window.requests -= entries[gone].requests
        window.tokens -= entries[gone].tokens
        gone += 1
    if gone:
        del entries[:gone]
    if entries and entries[-1].time > now:
        for entry in entries:
            entry.time = min(entry.time, now)


def find_wait(window: Window, now: float, claim: Claim, cost: int) -> float:
    """Find in how many seconds a call of `cost` tokens has room in a trimmed window; 0 when it has now.

    A call that is larger than the limit has room when nothing else is in the window.
    """
    over_requests = 0 if claim.requests is None else window.requests + 1 - claim.requests
    over_tokens = 0 if claim.tokens is None else min(window.tokens, window.tokens + cost - claim.tokens)
    if over_requests <= 0 and over_tokens <= 0:
        return 0.0
    for entry in window.entries:
        over_requests -= entry.requests
        over_tokens -= entry.tokens
        if over_requests <= 0 and over_tokens <= 0:
            return max(entry.time + claim.per_s - now, 1e-6)
    return claim.per_s


def add(window: Window, now: float, per_s: float, cost: int) -> int:
    """Note that a call passes, and return its entry's id."""
    return _add(window, now, per_s, 1, cost)


def _add(window: Window, now: float, per_s: float, requests: int, tokens: int) -> int:
    window.requests += requests
    window.tokens += tokens
    entries = window.entries
    if len(entries) >= MAX_ENTRIES:
        grain, newest = per_s / MAX_ENTRIES, entries[-1]
        if now // grain == newest.time // grain:
            newest.time = max(now, newest.time)
            newest.requests += requests
            newest.tokens += tokens
            return newest.id
    window.last += 1
    entries.append(Entry(window.last, now, requests, tokens))
    return window.last


def settle(window: Window, id: int, now: float, per_s: float, *, tokens: int, requests: int = 0) -> None:
    """Correct an entry by so many tokens and requests, up or down.

    What has left the window meanwhile gives nothing back; tokens beyond what was foreseen count from now on.
    """
    entries = window.entries
    place = id - entries[0].id if entries else -1
    if 0 <= place < len(entries):
        entry = entries[place]
        tokens, requests = max(tokens, -entry.tokens), max(requests, -entry.requests)
        entry.tokens += tokens
        entry.requests += requests
        window.tokens += tokens
        window.requests += requests
    elif tokens > 0:
        window.last = max(window.last, id)
        _add(window, now, per_s, 0, tokens)
