"""Do bytes come from files and go into files without harm to what is there?"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cli.bars import open_bar
from quorate.cli.quantities import read_duration, read_labels, read_size, read_time, show_size
from quorate.cli.transfer import check_target, measure_file, read_file, write_file, write_output
from quorate.errors import CorruptState, InvalidInput, TooLarge

pytestmark = pytest.mark.blocking


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def skip(count: int) -> None:
    """Nobody watches."""


async def test_a_file_is_written_as_a_whole(tmp_path: Path) -> None:
    target, told = tmp_path / "out.bin", list[int]()
    assert await write_file(str(target), pieces(b"one", b"two"), told.append) == 6
    assert target.read_bytes() == b"onetwo"
    assert told == [3, 3]
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["out.bin"]


async def test_bytes_that_do_not_verify_make_no_file(tmp_path: Path) -> None:
    """What is wrong is known at the end; the file that was there is still there."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"looks good"
        raise CorruptState("not what was saved")

    target = tmp_path / "out.bin"
    for before in (None, b"before"):
        if before is not None:
            target.write_bytes(before)
        with pytest.raises(CorruptState):
            await write_file(str(target), broken(), skip, force=before is not None)
        assert (target.read_bytes() if target.exists() else None) == before
        assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


async def test_nothing_is_written_over_unless_that_was_said(tmp_path: Path) -> None:
    """Not even a file that came meanwhile, and never a directory or a device."""
    target = tmp_path / "out.bin"

    async def meanwhile() -> AsyncIterator[bytes]:
        yield b"mine"
        target.write_bytes(b"theirs")

    with pytest.raises(InvalidInput, match="already: choose another name, or say `--force`"):
        await write_file(str(target), meanwhile(), skip)
    assert target.read_bytes() == b"theirs"
    with pytest.raises(InvalidInput, match="already"):
        check_target(str(target), force=False)
    await write_file(str(target), pieces(b"mine"), skip, force=True)
    assert target.read_bytes() == b"mine"
    for wrong in (str(tmp_path), "/dev/null"):
        with pytest.raises(InvalidInput, match="directory or a device"):
            await write_file(wrong, pieces(b"x"), skip, force=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


async def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """It is in the way like a file; by force it is replaced itself."""
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.write_bytes(b"theirs")
    link.symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="already"):
        await write_file(str(link), pieces(b"mine"), skip)
    await write_file(str(link), pieces(b"mine"), skip, force=True)
    assert (elsewhere.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"theirs", b"mine", False)


async def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        await write_file(str(tmp_path / "none" / "out"), pieces(b"x"), skip)


async def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    source = tmp_path / "in.bin"
    source.write_bytes(os.urandom(2_500_000))
    assert measure_file(str(source)) == 2_500_000
    told = list[int]()
    found = [piece async for piece in read_file(str(source), told.append)]
    assert b"".join(found) == source.read_bytes()
    assert told == [len(piece) for piece in found]
    assert max(told) <= 1 << 20


async def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert measure_file("-") is None
    with pytest.raises(InvalidInput, match="is a directory"):
        measure_file(str(tmp_path))
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        measure_file(str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        assert [piece async for piece in read_file(str(tmp_path), skip)]


class Screen:
    """A terminal."""

    def __init__(self) -> None:
        self.shown = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.shown += text
        return len(text)

    def flush(self) -> None: ...


def test_a_terminal_is_shown_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could move the cursor is spelled out; what is no text, or too much of it, is refused."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    asyncio.run(
        write_output(pieces(b"plain \x1b[2J", "ü".encode()[:1], "ü".encode()[1:]), size=12, media_type="text/plain")
    )
    assert screen.shown == "plain \\x1b[2Jü\n"
    with pytest.raises(InvalidInput, match="no text but image/png: write it to a file"):
        asyncio.run(write_output(pieces(b"\xff\xfe"), size=2, media_type="image/png"))
    with pytest.raises(TooLarge, match="too much for a terminal"):
        asyncio.run(write_output(pieces(b"x"), size=2_000_000, media_type="text/plain"))


def test_progress_is_shown_to_people_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe nothing is drawn."""
    with open_bar("keeping", 100) as advance:
        advance(50)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("64k", 64_000), ("5M", 5_000_000), ("1GB", 10**9), (" 2t ", 2 * 10**12)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("7D", 604_800)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "ahead", "moment"),
    [
        ("2026-01-31", False, 1769817600.0),
        ("2026-01-31T12:00", False, 1769860800.0),
        ("2026-01-31T12:00+02:00", False, 1769853600.0),
        ("1h", True, 1003600.0),
        ("1h", False, 996400.0),
    ],
)
def test_moments_are_read(text: str, ahead: bool, moment: float) -> None:
    """Dates of UTC, or how far from now."""
    assert read_time(text, now=1_000_000.0, ahead=ahead) == moment


@given(text=st.text(max_size=20))
def test_anything_else_is_refused_in_words(text: str) -> None:
    """Nothing typed makes a command crash."""
    told = list[str]()
    for read in (
        read_size,
        read_duration,
        lambda text: read_time(text, now=0.0, ahead=True),
        lambda text: read_labels([text]),
    ):
        try:
            read(text)
        except InvalidInput as error:
            told.append(str(error))
    assert all("write it like" in words for words in told)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (2e12, "2000.0 GB")]
)
def test_sizes_are_shown_as_people_read_them(size: float, shown: str) -> None:
    assert show_size(size) == shown
