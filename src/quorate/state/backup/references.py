"""Does everything in a backup that names something else find it there?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from quorate.errors import CorruptState, QuorateError
from quorate.events import AnyEvent, ArtifactSaved, RunCreated
from quorate.ports import Entry
from quorate.state.artifacts.keys import KeyRing
from quorate.state.artifacts.sealing import Opener
from quorate.state.artifacts.store import read_record
from quorate.state.artifacts.vault import BlobRow, build_place, read_row
from quorate.state.backup.format import Value
from quorate.state.sessions.session import Session

MOST_FAULTS = 100


class _Bytes(Struct, frozen=True, gc=False):
    tenant: str
    digest: str
    row: BlobRow


class References:
    """Takes in runs, then values, then blobs, and notes what is named and what is there; a few words for each."""

    def __init__(self, *, began: float, keys: KeyRing | None = None) -> None:
        self.faults: list[str] = []
        """What does not hold together, the first hundred."""
        self.unchecked = 0
        """How many blobs could not be looked into, because their key was not given."""
        self.dangling = 0
        """How many artifacts that a log names are gone; somebody deleted them."""
        self.vanished = 0
        """Of how many artifacts the bytes were deleted while the backup was made."""
        self._began = began
        self._keys = keys
        self._runs: set[str] = set()
        self._previous: dict[str, str] = {}
        self._sessions: dict[str, tuple[str, ...]] = {}
        self._saved: dict[str, str] = {}
        self._artifacts: dict[str, str] = {}
        self._bytes: dict[str, _Bytes] = {}
        self._blobs: set[str] = set()
        self._gone: set[str] = set()

    def add_event(self, event: AnyEvent, *, tenant: str) -> None:
        """Take in an event of a run."""
        if isinstance(event, RunCreated):
            self._runs.add(event.run)
            if event.previous:
                self._previous[event.run] = event.previous
        elif isinstance(event, ArtifactSaved):
            self._saved[f"artifact/{tenant}/id/{event.artifact}"] = event.run

    def add_value(self, value: Value) -> None:
        """Take in a value: a session, an artifact or where its bytes are; all others name nothing."""
        parts = value.key.split("/")
        if parts[0] == "session" and len(parts) == 3:
            self._look(value, self._add_session)
        elif parts[0] == "artifact" and len(parts) == 4 and parts[2] == "id":
            self._look(value, self._add_artifact)
        elif parts[0] == "artifact" and len(parts) == 4 and parts[2] == "blob":
            self._look(value, self._add_row)

    def add_blob(self, name: str) -> BlobCheck | None:
        """Take in a blob; return what looks into its bytes when they are an artifact's."""
        self._blobs.add(name)
        known = self._bytes.get(name)
        if known is None:
            return None
        if known.row.key and self._keys is None:
            self.unchecked += 1
            return None
        return BlobCheck(known.tenant, known.digest, size=known.row.size, keys=self._keys)

    def drop_blob(self, name: str) -> None:
        """Take a blob back: it was deleted while the backup was made."""
        self._blobs.discard(name)
        self._gone.add(name)

    def finish(self) -> None:
        """Look up everything that was named."""
        for run, previous in self._previous.items():
            if previous not in self._runs:
                self.fail(f"run {run!r} goes on from run {previous!r}, which is not here")
        for session, runs in self._sessions.items():
            for run in runs:
                if run not in self._runs and not _is_later(run, self._began):
                    self.fail(f"{session} goes on from run {run!r}, which is not here")
        held = {f"artifact/{known.tenant}/blob/{known.digest}" for known in self._bytes.values()}
        for artifact, row in self._artifacts.items():
            if row not in held:
                self.fail(f"{artifact} is here without a word where its bytes are")
        for name, known in self._bytes.items():
            if name in self._blobs:
                continue
            if name in self._gone:
                self.vanished += 1
            else:
                self.fail(f"the bytes of digest {known.digest} of tenant {known.tenant!r} are not here")
        self.dangling = sum(artifact not in self._artifacts for artifact in self._saved)

    def fail(self, fault: str) -> None:
        """Note what is wrong."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)

    def _look(self, value: Value, add: Callable[[Value], None]) -> None:
        try:
            add(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.fail(f"{value.key} cannot be read: {error}")
        except CorruptState as error:
            self.fail(error.message)

    def _add_session(self, value: Value) -> None:
        session = msgspec.json.decode(value.value, type=Session)
        # `last_run` is a hint, and may be a run that retention has taken.
        named = (session.parent.run,) if session.parent is not None else ()
        if named:
            self._sessions[value.key] = named

    def _add_artifact(self, value: Value) -> None:
        record = read_record(Entry(key=value.key, value=value.value, revision=0, updated=0.0))
        self._artifacts[value.key] = f"artifact/{record.info.tenant}/blob/{record.info.digest}"

    def _add_row(self, value: Value) -> None:
        row = read_row(value.value, value.key)
        _, tenant, _, digest = value.key.split("/")
        if row.blob:
            self._bytes[row.blob] = _Bytes(tenant, digest, row)


class BlobCheck:
    """Looks into the bytes of an artifact as they come."""

    def __init__(self, tenant: str, digest: str, *, size: int, keys: KeyRing | None) -> None:
        self._digest = digest
        self._hash = hashlib.sha256()
        self._opener = Opener(build_place(tenant, digest), size=size, keys=keys)
        self._error = ""

    def feed(self, piece: bytes) -> None:
        """Take in a piece of what is kept."""
        if not self._error:
            try:
                for part in self._opener.feed(piece):
                    self._hash.update(part)
            except QuorateError as error:
                self._error = error.message

    def finish(self) -> str:
        """Say what is wrong with them; nothing when they are what was saved."""
        if not self._error:
            try:
                for part in self._opener.finish():
                    self._hash.update(part)
            except QuorateError as error:
                self._error = error.message
        if not self._error and self._hash.hexdigest() != self._digest:
            self._error = f"the bytes kept as digest {self._digest} are others"
        return self._error


def _is_later(run: str, began: float) -> bool:
    """Whether a run's id says that it was made after the backup was begun."""
    try:
        return int(run.rpartition("-")[2][:12], 16) / 1000 >= began
    except ValueError:
        return False
