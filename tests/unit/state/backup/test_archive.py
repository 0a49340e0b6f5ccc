"""Do runs leave as lines of JSON and come back the same, and are lines that do not fit refused with their number?"""

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.backup.filling import add_long_run, build_run, fill

from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, QuorateError
from quorate.events import SCHEMA_VERSION
from quorate.ports import Store
from quorate.state.archive import export_runs, import_runs
from quorate.state.archive.lines import RunReader
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_memory_store(clock=ManualClock()) as opened:
        await fill(opened, clock=ManualClock())
        yield opened


async def export(store: Store, *runs: str, tenant: str | None = None) -> bytes:
    stream = io.BytesIO()
    await export_runs(store.log, runs, stream, tenant=tenant)
    return stream.getvalue()


class Pipe(io.BytesIO):
    """A stream that can be read once."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
async def test_what_is_exported_is_imported(store: Store, kind: type[io.BytesIO]) -> None:
    """Every event of every kind comes back equal, in a file or through a pipe; the second time all is there already."""
    runs = ["run-0001", "run-every", "run-live"]
    whole = await export(store, *runs)
    async with open_memory_store() as other:
        first = await import_runs(other.log, kind(whole))
        assert (first.runs, first.skipped) == (3, 0)
        for run in runs:
            assert await other.log.read(run) == await store.log.read(run)
        again = await import_runs(other.log, kind(whole))
        assert (again.runs, again.events, again.skipped) == (0, 0, 3)
        assert await export(other, *runs) == whole


async def test_an_export_is_one_event_a_line(store: Store) -> None:
    """Each line is a document of its own; the digest can be computed by anybody."""
    lines = (await export(store, "run-0001")).splitlines(keepends=True)
    documents = [msgspec.json.decode(line) for line in lines]
    assert [one["kind"] for one in documents][:3] == ["export.run", "run.created", "run.started"]
    assert documents[0]["schema"] == SCHEMA_VERSION
    assert [one["seq"] for one in documents[1:-1]] == list(range(1, len(lines) - 1))
    assert documents[-1]["sha256"] == hashlib.sha256(b"".join(lines[1:-1])).hexdigest()


async def test_a_dry_run_writes_nothing(store: Store) -> None:
    """Only checking tells what would happen."""
    whole = await export(store, "run-0001")
    async with open_memory_store() as other:
        report = await import_runs(other.log, io.BytesIO(whole), dry_run=True)
        assert (report.runs, report.events) == (1, 6)
        assert await other.log.list_runs() == []


async def test_a_run_that_was_cut_off_is_completed(store: Store) -> None:
    """A run of which a beginning is there gets the rest; one that goes another way, or further, is a conflict."""
    whole, events = await export(store, "run-0001"), await store.log.read("run-0001")
    async with open_memory_store() as other:
        await other.log.append("run-0001", events[:3], expected=0)
        report = await import_runs(other.log, io.BytesIO(whole))
        assert (report.runs, report.events) == (1, 3)
        assert await other.log.read("run-0001") == events
    async with open_memory_store() as other:
        await other.log.append("run-0001", [*events[:2], build_run("run-0001", steps=9)[5]][:2], expected=0)
        await other.log.append("run-0001", [msgspec.structs.replace(events[2], time=99.0)], expected=2)
        with pytest.raises(Conflict, match="its event 3 is another one"):
            await import_runs(other.log, io.BytesIO(await export(store, "run-0002") + whole))
        assert await other.log.last("run-0002") == 0
    async with open_memory_store() as other:
        await other.log.append("run-0001", build_run("run-0001", steps=4, end=False)[:1], expected=0)
    async with open_memory_store() as other:
        await other.log.append("run-live", await store.log.read("run-live"), expected=0)
        short = io.BytesIO()
        async with open_memory_store() as before:
            await before.log.append("run-live", (await store.log.read("run-live"))[:4], expected=0)
            await export_runs(before.log, ["run-live"], short)
        with pytest.raises(Conflict, match="6 events, not 4"):
            await import_runs(other.log, io.BytesIO(short.getvalue()))


async def test_a_very_long_run_comes_in_portions() -> None:
    """A run of more events than are written at once arrives whole."""
    async with open_memory_store() as store, open_memory_store() as other:
        await add_long_run(store, "run-long", 25_000)
        stream = io.BytesIO()
        seen = list[int]()
        assert await export_runs(store.log, ["run-long"], stream) == 25_000
        stream.seek(0)
        await import_runs(other.log, stream, progress=lambda what, done, total: seen.append(done))
        assert await other.log.last("run-long") == 25_000
        assert max(seen) == 25_000


async def test_other_tenants_are_refused(store: Store) -> None:
    """Another tenant's run is neither exported, in the same words as an absent one, nor imported."""
    with pytest.raises(NotFound) as absent:
        await export(store, "run-none", tenant="acme")
    with pytest.raises(NotFound) as foreign:
        await export(store, "run-every", tenant="acme")
    assert foreign.value.message.replace("run-every", "run-none") == absent.value.message
    whole = await export(store, "run-0001", "run-every")
    async with open_memory_store() as other:
        with pytest.raises(InvalidInput, match="line 9: run 'run-every' is not a run of tenant 'acme'"):
            await import_runs(other.log, io.BytesIO(whole), tenant="acme")
        assert await other.log.list_runs() == []


def cut_line(number: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line for place, line in enumerate(lines, 1) if place != number]


def put_line(number: int, text: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [*lines[: number - 1], text, *lines[number - 1 :]]


def swap(number: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line.replace(old, new) if n == number else line for n, line in enumerate(lines, 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put_line(3, b"garbage"), "line 3 is neither an event nor a mark"),
        (put_line(3, b"{}"), "line 3 is neither"),
        (put_line(3, b'{"kind":"run.imagined","run":"run-0001","seq":2,"time":1}'), "line 3 is neither"),
        (put_line(3, b"[" * 100_000), "line 3 is neither"),
        (put_line(3, b"\xff\xfe"), "line 3 is neither"),
        (put_line(3, b'{"kind":"export.else"}'), "line 3 is neither"),
        (cut_line(1), "line 1 stands before the beginning of a run"),
        (cut_line(2), "line 2 is event 2 of run 'run-0001'; event 1"),
        (cut_line(4), "line 4 is event 4 of run 'run-0001'; event 3"),
        (cut_line(8), "line 8 begins run 'run-0002' within run 'run-0001'"),
        (cut_line(9), "line 9 stands before the beginning"),
        (lambda lines: lines[:5], "ends within run 'run-0001'"),
        (lambda lines: [*lines, *lines[:8]], "line 17: run 'run-0001' comes twice"),
        (swap(4, b'"ok"', b'"KO"'), "line 8: run 'run-0001' has 6 events, which are not the 6 that were written"),
        (swap(1, b"run-0001", b"../../x"), "line 1: run '../../x' is not an identifier"),
        (swap(1, b"run-0001", b"run-9999"), "line 2 is event 1 of run 'run-0001'"),
        (swap(1, b'"acme"', b'"other"'), "line 2: run 'run-0001' is another tenant's"),
        (swap(1, SCHEMA_VERSION.encode(), b"2.0"), "line 1 has events of schema '2.0'.*Upgrade"),
        (swap(1, SCHEMA_VERSION.encode(), b"1.999"), "line 1 has events of schema '1.999'.*Upgrade"),
        (swap(1, SCHEMA_VERSION.encode(), b"one"), "line 1: schema 'one' is not a version"),
        (swap(8, b"run-0001", b"run-0002"), "line 8 ends run 'run-0002', which did not begin"),
    ],
)
async def test_a_line_that_does_not_fit_is_named(
    store: Store, change: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    """Whatever is wrong is told with its line, and nothing of the file is written."""
    lines = (await export(store, "run-0001", "run-0002")).splitlines()
    async with open_memory_store() as other:
        with pytest.raises((InvalidInput, CorruptState), match=said):
            await import_runs(other.log, io.BytesIO(b"\n".join(change(lines)) + b"\n"), what="runs.jsonl")
        assert await other.log.list_runs() == []


async def test_empty_lines_and_no_lines_are_nothing(store: Store) -> None:
    """Blank lines count and do no harm; a file without runs brings none."""
    lines = (await export(store, "run-0001")).splitlines()
    async with open_memory_store() as other:
        assert (await import_runs(other.log, io.BytesIO(b"\n\n" + b"\n\n".join(lines)))).runs == 1
        assert (await import_runs(other.log, io.BytesIO(b""))).runs == 0


@given(st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), max_size=8))
def test_no_bytes_are_a_crash(lines: list[bytes]) -> None:
    """Any bytes are taken or refused with one of our errors."""
    reader = RunReader("a file")
    with contextlib.suppress(QuorateError):
        for number, line in enumerate(lines, 1):
            reader.take(number, line)
