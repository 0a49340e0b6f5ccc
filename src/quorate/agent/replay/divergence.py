"""Where do two records of a run differ first, and in what?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec import Struct

from quorate.agent.fingerprint import explain
from quorate.codec.json import encode
from quorate.events import AnyEvent, ModelRequested, get_kind

MOST_SHOWN = 300
"""How many characters of a value a divergence shows."""
NOTHING = "(nothing)"


class Divergence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first difference between what was recorded and what a replay gave."""

    seq: int
    """The place in the recorded log."""
    key: str
    """The step, as the recording names it; as the replay does where the recording has nothing there."""
    path: str = ""
    """The field that differs, such as `result.content`; empty when one of the two has another event, or none."""
    recorded: str
    replayed: str
    note: str = ""
    """What that means, where it can be told."""

    def describe(self) -> str:
        """Say it in words, with both values."""
        where = f"event {self.seq}" + (f" ({self.key})" if self.key else "") + (f", {self.path}" if self.path else "")
        note = f" {self.note}" if self.note else ""
        return f"The replay differs from {where} on: recorded {self.recorded}; replayed {self.replayed}.{note}"


def compare_events(recorded: AnyEvent | None, replayed: AnyEvent | None) -> Divergence | None:
    """Compare two events byte for byte; `None` when they are the same."""
    if recorded is None or replayed is None:
        one = recorded or replayed
        if one is None:
            return None
        return Divergence(seq=one.seq, key=one.key, recorded=show_event(recorded), replayed=show_event(replayed))
    if encode(recorded) == encode(replayed):
        return None
    if type(recorded) is not type(replayed) or recorded.key != replayed.key:
        return Divergence(
            seq=recorded.seq,
            key=recorded.key or replayed.key,
            recorded=show_event(recorded),
            replayed=show_event(replayed),
        )
    path, before, after = find_difference(msgspec.to_builtins(recorded), msgspec.to_builtins(replayed))
    note = ""
    if path == "digest" and isinstance(recorded, ModelRequested) and isinstance(replayed, ModelRequested):
        note = f"What the model is asked has changed: {explain(recorded.digest, replayed.digest)}."
    return Divergence(
        seq=recorded.seq, key=recorded.key, path=path, recorded=_show(before), replayed=_show(after), note=note
    )


def find_difference(recorded: object, replayed: object, path: str = "") -> tuple[str, object, object]:
    """Find the first place where two values of plain data differ: its path, and what is there in both."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        before, after = cast("dict[str, object]", recorded), cast("dict[str, object]", replayed)
        for name in [*before, *(name for name in after if name not in before)]:
            if name not in before or name not in after or _is_other(before[name], after[name]):
                inner = f"{path}.{name}" if path else name
                return find_difference(before.get(name, NOTHING), after.get(name, NOTHING), inner)
    if isinstance(recorded, (list, tuple)) and isinstance(replayed, (list, tuple)):
        old, new = cast("Sequence[object]", recorded), cast("Sequence[object]", replayed)
        for place in range(max(len(old), len(new))):
            one = old[place] if place < len(old) else NOTHING
            other = new[place] if place < len(new) else NOTHING
            if _is_other(one, other):
                return find_difference(one, other, f"{path}[{place}]")
    return path, cast("object", recorded), cast("object", replayed)


def show_event(event: AnyEvent | None) -> str:
    """Name an event by its kind and key."""
    if event is None:
        return NOTHING
    return f"`{get_kind(event)}`" + (f" of {event.key}" if event.key else "")


def _is_other(one: object, other: object) -> bool:
    return encode(one) != encode(other)


def _show(value: object) -> str:
    text = NOTHING if value is NOTHING else encode(value).decode()
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}… ({len(text)} characters)"
