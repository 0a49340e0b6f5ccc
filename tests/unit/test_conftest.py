"""Do the guards every test runs under hold?"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from blockbuster import BlockingError
from coverage import CoverageData
from tests.conftest import forget_broken_counts

import quorate


def test_a_test_cannot_leave_the_machine() -> None:
    """A connection to any address but loopback is refused before a packet is sent."""
    with socket.socket() as outside, pytest.raises(PermissionError, match="stay on loopback"):
        outside.connect(("192.0.2.1", 80))


def test_a_test_may_talk_to_itself() -> None:
    """Loopback sockets work as ever."""
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        client.connect(server.getsockname())


def test_counts_of_a_killed_program_are_forgotten(tmp_path: Path) -> None:
    """What `coverage` could not read is removed, and nothing else is."""
    whole = CoverageData(str(tmp_path / ".coverage.host.pid1.Xabc"))
    whole.add_lines({"a.py": [1]})
    for name in (".coverage.host.pid2.Xdef", ".coverage.host.pid3.Xghi", "other"):
        (tmp_path / name).write_bytes(b"" if name.endswith("f") else b"no database")
    forget_broken_counts(tmp_path / ".coverage")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [".coverage.host.pid1.Xabc", "other"]


def test_the_home_is_temporary(tmp_path: Path) -> None:
    """Nothing a test writes lands in the home of whoever runs it."""
    assert Path.home().is_relative_to(tmp_path)


def borrow(text: str) -> dict[str, Callable[[], None]]:
    """Define functions that count as the package's own, without touching the package."""
    space: dict[str, Callable[[], None]] = {}
    exec(compile(text, str(Path(quorate.__file__).parent / "borrowed.py"), "exec"), space)
    return space


async def test_a_blocking_call_of_ours_on_the_loop_fails() -> None:
    """Sleeping in a thread that runs an event loop is refused where the package does it."""
    nap = borrow("import time\ndef nap(): time.sleep(0.001)")["nap"]
    with pytest.raises(BlockingError):
        nap()
    await asyncio.to_thread(nap)


async def test_a_late_import_of_ours_is_no_blocking_call() -> None:
    """A function-level import reads files, once."""
    borrow("def load(): import xmlrpc.client")["load"]()


async def test_a_blocking_call_of_a_test_is_let_be() -> None:
    """Tests may arrange their files; only calls that pass through the package are refused."""
    Path("/dev/null").read_bytes()


@pytest.mark.blocking
async def test_a_marked_test_may_block() -> None:
    """The mark turns the detector off."""
    borrow("import time\ndef nap(): time.sleep(0.001)")["nap"]()
