"""How is a recorded run kept in a file, so that a test can play it again?

The file is JSON Lines: a header, then every event as it was recorded. Nobody wants keys and passwords in a repository,
so a recording that has any is refused, or kept with stars in their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct, structs

from quorate.agent.agent import AnyAgent
from quorate.agent.replay.exact import check_recorded
from quorate.codec.json import decode, decode_event, encode
from quorate.errors import CorruptState, InvalidInput
from quorate.events import SCHEMA_VERSION, AnyEvent, ModelRequested
from quorate.messages import Message
from quorate.tools.builtin.code.secrets import find_secrets

VERSION = 1
STARS = "********"
MAX_BYTES = 256 << 20
_WINDOW, _OVERLAP = 1900, 400
_STATIC_PARTS = 3


class Header(Struct, frozen=True, kw_only=True):
    """The first line of a file."""

    recording: int = VERSION
    schema: str = SCHEMA_VERSION
    """The version of the events."""
    run: str
    agent: str
    agent_version: str = ""
    asked: dict[str, str] = {}
    """What each agent first asked its model, as a digest, by the step's key."""
    events: int
    sha256: str
    """Over the lines of the events."""
    history: tuple[Message, ...] = ()
    """The conversation before the run, where its log only refers to it."""
    scrubbed: int = 0
    """How many secrets were replaced by stars."""


class Recording(Struct, frozen=True, kw_only=True):
    """A recorded run."""

    header: Header
    events: tuple[AnyEvent, ...]


class Leak(Struct, frozen=True, kw_only=True):
    """A secret in a recording, without the secret."""

    seq: int
    path: str
    kind: str


def build_recording(
    events: Sequence[AnyEvent],
    *,
    agent: AnyAgent | None = None,
    history: Sequence[Message] = (),
    scrub: bool = False,
) -> Recording:
    """Build a recording that may be kept in a file.

    Args:
        events: The run's log.
        agent: The agent, for its version.
        history: The conversation before, where the log only refers to it.
        scrub: Whether secrets are replaced by stars; otherwise they are refused.

    Raises:
        NotFound: There are no events.
        InvalidInput: There is a secret in it; the message says where.
    """
    created = check_recorded(events)
    kept, said, count = list(events), list(history), 0
    leaks = [leak for leak, _ in find_leaks(events, history)]
    if leaks and not scrub:
        listed = "; ".join(f"event {leak.seq}, {leak.path}: {leak.kind}" for leak in leaks[:10])
        more = f"; and {len(leaks) - 10} more" if len(leaks) > 10 else ""
        raise InvalidInput(
            f"Run {created.run!r} has what looks like secrets ({listed}{more}): keep it with stars in their place "
            "(`scrub=True`, `--scrub`), or record it again without them."
        )
    if leaks:
        words = sorted({word for _, word in find_leaks(events, history)}, key=len, reverse=True)
        count = len(words)
        kept = [_scrub_event(event, words) for event in events]
        said = [msgspec.convert(_scrub(msgspec.to_builtins(one), words), Message) for one in history]
    asked = {event.key: event.digest for event in kept if isinstance(event, ModelRequested) and _is_first(event)}
    return Recording(
        header=Header(
            run=created.run,
            agent=created.agent,
            agent_version=agent.version if agent is not None else "",
            asked=asked,
            events=len(kept),
            sha256=_digest(kept),
            history=tuple(said),
            scrubbed=count,
        ),
        events=tuple(kept),
    )


def save_recording(recording: Recording, path: str | Path, *, replace: bool = False) -> None:
    """Write a recording to a file.

    Raises:
        InvalidInput: The file is there already and may not be replaced, or cannot be written.
    """
    lines = [encode(recording.header), *(encode(event) for event in recording.events)]
    try:
        with Path(path).open("wb" if replace else "xb") as file:
            file.write(b"\n".join(lines) + b"\n")
    except FileExistsError as error:
        raise InvalidInput(f"{str(path)!r} is there already: give another name, or replace it (`--force`).") from error
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def load_recording(path: str | Path) -> Recording:
    """Read a recording from a file.

    Raises:
        InvalidInput: It is no such file.
        CorruptState: It was changed, cut off, or is of a newer version.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"recording {str(path)!r} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"recording {str(path)!r} has more than {MAX_BYTES} bytes.")
    first, _, rest = data.partition(b"\n")
    header = decode(first, Header, what=f"the first line of {str(path)!r}", max_bytes=MAX_BYTES)
    if header.recording > VERSION:
        raise CorruptState(
            f"recording {str(path)!r} has version {header.recording}; this version reads {VERSION}. Upgrade Quorate."
        )
    events = tuple(
        decode_event(line, where=f"{path}:{number}", version=header.schema)
        for number, line in enumerate(rest.splitlines(), 2)
        if line
    )
    if len(events) != header.events or _digest(events) != header.sha256:
        raise CorruptState(
            f"recording {str(path)!r} is not what was saved: it has {len(events)} events of {header.events}, or one "
            "was changed. Record it again."
        )
    return Recording(header=header, events=events)


def find_leaks(events: Sequence[AnyEvent], history: Sequence[Message] = ()) -> Iterator[tuple[Leak, str]]:
    """Find what looks like a secret in any text of a recording, with the secret itself."""
    for event in events:
        yield from _find_in(msgspec.to_builtins(event), "", event.seq)
    for place, message in enumerate(history):
        yield from _find_in(msgspec.to_builtins(message), f"history[{place}]", 1)


def _find_in(value: object, path: str, seq: int) -> Iterator[tuple[Leak, str]]:
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from _find_in(inner, f"{path}.{name}" if path else name, seq)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(cast("Sequence[object]", value)):
            yield from _find_in(inner, f"{path}[{place}]", seq)
    elif isinstance(value, str):
        for line in value.splitlines():
            for begin in range(0, max(1, len(line) - _OVERLAP), _WINDOW - _OVERLAP):
                text = line[begin : begin + _WINDOW]
                for found in find_secrets(text):
                    yield Leak(seq=seq, path=path, kind=found.kind), text[found.start : found.end]


def _scrub_event(event: AnyEvent, words: Sequence[str]) -> AnyEvent:
    changed = msgspec.convert(_scrub(msgspec.to_builtins(event), words), type(event))
    if isinstance(changed, ModelRequested):
        # The messages are no longer those that were hashed.
        return structs.replace(changed, digest=".".join(changed.digest.split(".")[:_STATIC_PARTS]))
    return changed


def _scrub(value: object, words: Sequence[str]) -> object:
    if isinstance(value, dict):
        return {name: _scrub(inner, words) for name, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_scrub(inner, words) for inner in cast("Sequence[object]", value)]
    if isinstance(value, str):
        for word in words:
            value = value.replace(word, STARS)
    return value


def _is_first(event: ModelRequested) -> bool:
    return event.key.endswith("1/model") and event.key.rpartition("/")[0].rpartition("/")[2] == "1"


def _digest(events: Sequence[AnyEvent]) -> str:
    found = hashlib.sha256()
    for event in events:
        found.update(encode(event) + b"\n")
    return found.hexdigest()
