r"""How are runs written as lines of JSON, and which lines are not believed?

```
{"kind":"export.run","run":"run-1","schema":"1.1","tenant":"acme","agent":"net"}
{"kind":"run.created","run":"run-1","seq":1, …}
{"kind":"run.started","run":"run-1","seq":2, …}
{"kind":"export.end","run":"run-1","events":2,"sha256":"…"}
```

Events are written as they are stored, with what has no order of its own sorted. The digest of a run is taken over its
event lines with their newlines, so that `sed -n '/run.created/,/export.end/p' | head -n -1 | sha256sum` computes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from quorate.errors import CorruptState, InvalidInput, QuorateError, TooLarge
from quorate.events import SCHEMA_VERSION, AnyEvent, Event, RunCreated
from quorate.ids import check_id

MAX_LINE = 64 << 20
"""The most bytes of a line; an event with a result of some megabytes is one."""
_MARK = b'{"kind":"export.'

Advance = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is (0 when nobody knows)."""


def ignore_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""


class RunHeader(Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="export.run"):
    """The line before a run."""

    run: str
    schema: str
    tenant: str
    agent: str


class RunEnd(Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="export.end"):
    """The line behind a run: without it, the run was cut."""

    run: str
    events: int
    sha256: str


Item = RunHeader | AnyEvent | RunEnd
"""What a line says."""

_encoder = msgspec.json.Encoder(order="deterministic")
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_marks: msgspec.json.Decoder[RunHeader | RunEnd] = msgspec.json.Decoder(RunHeader | RunEnd)


def encode_line(item: Item) -> bytes:
    """Write a line, with its newline."""
    return _encoder.encode(item) + b"\n"


class RunDigest:
    """Takes in a run's event lines and says what they come to."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.events = 0
        self._hash = hashlib.sha256()

    def add(self, line: bytes) -> bytes:
        """Take in an event's line, with its newline, and return it."""
        self.events += 1
        self._hash.update(line)
        return line

    def build_end(self) -> RunEnd:
        """Build the line behind the run."""
        return RunEnd(run=self.run, events=self.events, sha256=self._hash.hexdigest())


def build_header(created: RunCreated) -> RunHeader:
    """Build the line before a run."""
    return RunHeader(run=created.run, schema=SCHEMA_VERSION, tenant=created.tenant, agent=created.agent)


class RunReader:
    """Takes in lines one after the other and refuses the first that does not fit; nothing is guessed."""

    def __init__(self, what: str, *, tenant: str | None = None, ascending: bool = False) -> None:
        """Begin to read.

        Args:
            what: What to call the lines in messages, such as a file's name.
            tenant: The only one whose runs are taken.
            ascending: Whether each run must come behind the one before by its id, so that none comes twice.
        """
        self._what = what
        self._tenant = tenant
        self._ascending = ascending
        self._header: RunHeader | None = None
        self._digest = RunDigest("")
        self._seen: set[str] = set()
        self._last = ""

    def take(self, number: int, line: bytes) -> Item:
        """Read a line, without its newline.

        Raises:
            InvalidInput: It is not what comes next; the message names it.
            CorruptState: It is from a newer version, or a digest does not agree.
            TooLarge: It is too long.
        """
        where = f"{self._what}, line {number}"
        if len(line) > MAX_LINE:
            raise TooLarge(f"{where} has more than {MAX_LINE} bytes.")
        try:
            if line.startswith(_MARK):
                return self._take_mark(line, where)
            return self._take_event(line, where)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"{where} is neither an event nor a mark between runs: {error}") from error
        except QuorateError as error:
            if where in error.message:
                raise
            raise InvalidInput(f"{where}: {error.message}") from error

    def finish(self) -> None:
        """Raise `InvalidInput` when the last run was cut."""
        if self._header is not None:
            raise InvalidInput(
                f"{self._what} ends within run {self._header.run!r}: it was cut, export it again.", run=self._header.run
            )

    def _take_mark(self, line: bytes, where: str) -> RunHeader | RunEnd:
        mark = _marks.decode(line)
        if isinstance(mark, RunEnd):
            if self._header is None or mark.run != self._header.run:
                raise InvalidInput(f"{where} ends run {mark.run!r}, which did not begin before it.")
            if mark != self._digest.build_end():
                raise CorruptState(
                    f"{where}: run {mark.run!r} has {self._digest.events} events, which are not the {mark.events} that "
                    "were written: the lines were changed.",
                    run=mark.run,
                )
            self._header = None
            return mark
        if self._header is not None:
            raise InvalidInput(f"{where} begins run {mark.run!r} within run {self._header.run!r}: lines are missing.")
        check_id(mark.run, "run")
        check_schema(mark.schema, where=where)
        if self._tenant is not None and mark.tenant != self._tenant:
            raise InvalidInput(f"{where}: run {mark.run!r} is not a run of tenant {self._tenant!r}.", run=mark.run)
        if mark.run in self._seen or (self._ascending and mark.run <= self._last):
            raise InvalidInput(f"{where}: run {mark.run!r} comes twice or out of order.", run=mark.run)
        if self._ascending:
            self._last = mark.run
        else:
            self._seen.add(mark.run)
        self._header, self._digest = mark, RunDigest(mark.run)
        return mark

    def _take_event(self, line: bytes, where: str) -> AnyEvent:
        header = self._header
        if header is None:
            raise InvalidInput(f"{where} stands before the beginning of a run: every run begins with `export.run`.")
        event = _events.decode(line)
        expected = self._digest.events + 1
        if event.run != header.run or event.seq != expected:
            raise InvalidInput(
                f"{where} is event {event.seq} of run {event.run!r}; event {expected} of {header.run!r} comes here.",
                run=header.run,
            )
        if expected == 1:
            _check_beginning(event, header, where)
        self._digest.add(encode_line(event))
        return event


def _check_beginning(event: Event, header: RunHeader, where: str) -> None:
    if not isinstance(event, RunCreated):
        raise InvalidInput(f"{where}: run {header.run!r} does not begin with `run.created`.", run=header.run)
    if (event.tenant, event.agent) != (header.tenant, header.agent):
        raise InvalidInput(f"{where}: run {header.run!r} is another tenant's or agent's than its beginning says.")


def check_schema(schema: str, *, where: str) -> None:
    """Raise `CorruptState` when events were written by a version whose events may be unknown here."""
    if _read_version(schema, where) > _read_version(SCHEMA_VERSION, where):
        raise CorruptState(
            f"{where} has events of schema {schema!r}; this version reads up to {SCHEMA_VERSION}. Upgrade Quorate to "
            "read it."
        )


def _read_version(text: str, where: str) -> tuple[int, int]:
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise InvalidInput(f"{where}: schema {text[:40]!r} is not a version such as {SCHEMA_VERSION!r}.")
    return int(parts[0]), int(parts[1])
