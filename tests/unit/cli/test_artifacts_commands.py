"""Do the commands about artifacts keep, show, find, share, check and clean up?"""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from quorate.cli.artifacts import add_commands
from quorate.cli.failures import get_exit_code
from quorate.errors import QuorateError

pytestmark = pytest.mark.blocking


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


class Keyboard:
    """Types commands, one after the other, at a database of its own."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._screen = capfdbinary
        app = typer.Typer(pretty_exceptions_enable=False)
        add_commands(app)
        app.callback()(lambda: None)
        self._command = get_command(app)

    def __call__(self, *words: str) -> Done:
        out, err, code = *self.read(*words)[:2], self.code
        return Done(code, out.decode(), err.decode())

    def read(self, *words: str) -> tuple[bytes, bytes]:
        """Run a command and return what it wrote."""
        said = b""
        self.code = 0
        try:
            self.code = self._command.main(args=["artifacts", *words], standalone_mode=False) or 0
        except QuorateError as error:
            self.code, said = get_exit_code(error), error.message.encode()
        out, err = self._screen.readouterr()
        return out, err + said


@pytest.fixture
def artifacts(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Keyboard:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("QUORATE_DATABASE", str(tmp_path / "quorate.db"))
    monkeypatch.setenv("QUORATE_ARTIFACTS__STORE", str(tmp_path / "kept"))
    return Keyboard(capfdbinary)


def save(artifacts: Keyboard, name: str, data: bytes, *words: str) -> str:
    """Keep a file, and return its handle."""
    Path(name).write_bytes(data)
    return artifacts("save", name, *words, "--json").json["artifact"]["id"]  # pyright: ignore[reportIndexIssue]


def test_a_file_is_kept_and_comes_back(artifacts: Keyboard) -> None:
    """By handle and by name, byte for byte, into a file or a pipe. row: E11"""
    data = bytes(range(256)) * 40
    Path("photo.png").write_bytes(data)
    done = artifacts("save", "photo.png", "--label", "kind=photo")
    assert done.code == 0
    assert done.out.startswith("Kept photo.png as version 1: art-")
    handle = done.out.split()[-1]
    assert artifacts.read("get", handle)[0] == data
    assert artifacts("get", "photo.png", "-o", "copy.png").code == 0
    assert Path("copy.png").read_bytes() == data
    shown = artifacts("show", handle)
    assert "image/png" in shown.out
    assert "label kind  photo" in shown.out
    assert artifacts("show", handle, "--json").json["artifact"]["size"] == len(data)  # pyright: ignore[reportIndexIssue]


def test_versions_are_kept_and_found(artifacts: Keyboard) -> None:
    """The last one unless another is asked for."""
    save(artifacts, "a.txt", b"one")
    save(artifacts, "a.txt", b"two")
    assert artifacts("get", "a.txt").out == "two"
    assert artifacts("get", "a.txt", "--version", "1").out == "one"
    missing = artifacts("get", "a.txt", "--version", "3")
    assert missing.code == 2
    assert "There is no artifact 'a.txt'" in missing.err


def test_what_comes_on_standard_input_is_kept(artifacts: Keyboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name that it is given."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    nameless = artifacts("save", "-")
    assert (nameless.code, "give it one with `--name`" in nameless.err) == (2, True)
    assert artifacts("save", "-", "--name", "piped.txt").code == 0
    assert artifacts("get", "piped.txt").out == "piped"


def test_no_file_is_written_over(artifacts: Keyboard) -> None:
    """Unless that was said."""
    save(artifacts, "a.txt", b"one")
    Path("b.txt").write_bytes(b"mine")
    done = artifacts("get", "a.txt", "-o", "b.txt")
    assert done.code == 2
    assert "say `--force`" in done.err
    assert Path("b.txt").read_bytes() == b"mine"
    assert artifacts("get", "a.txt", "-o", "b.txt", "--force", "--json").json["file"] == "b.txt"
    assert Path("b.txt").read_bytes() == b"one"


def test_lists_and_searches_tell_what_is_there(artifacts: Keyboard) -> None:
    """With pages, filters, and a hint when there is nothing. row: E11"""
    assert "Keep one: `quorate artifacts save FILE`" in artifacts("list").out
    handles = [save(artifacts, f"a{n}.txt", b"x" * (n + 1) * 1000, "--label", f"n={n}") for n in range(3)]
    listed = artifacts("list")
    assert [line.split()[0] for line in listed.out.splitlines()] == handles
    page = artifacts("list", "--limit", "2", "--json").json
    rest = artifacts("list", "--limit", "2", "--after", str(page["next"]), "--json").json
    assert [each["id"] for each in [*page["artifacts"], *rest["artifacts"]]] == handles  # pyright: ignore[reportIndexIssue,reportGeneralTypeIssues]
    for words, found in (
        (["a1*"], [1]),
        (["--label", "n=2"], [2]),
        (["--type", "text/*", "--min-size", "2k"], [1, 2]),
        (["--max-size", "1500"], [0]),
        (["--since", "1h"], [0, 1, 2]),
        (["--before", "1h"], []),
        (["--session", "s-1"], []),
    ):
        items = artifacts("search", *words, "--json").json["artifacts"]
        assert [each["id"] for each in items] == [handles[n] for n in found]  # pyright: ignore[reportGeneralTypeIssues]


def test_shares_are_given_and_taken_back(artifacts: Keyboard) -> None:
    """And shown with their end."""
    handle = save(artifacts, "a.txt", b"x")
    assert artifacts("share", handle, "--principal", "bob", "--until", "7d").code == 0
    assert "principal bob until" in artifacts("show", handle).out
    assert artifacts("share", handle, "--everybody", "--json").code == 0
    assert len(artifacts("show", handle, "--json").json["shares"]) == 2  # pyright: ignore[reportArgumentType]
    assert artifacts("unshare", handle, "--principal", "bob", "--json").json["removed"] is True
    assert "was not shared so" in artifacts("unshare", handle, "--principal", "bob").out
    assert artifacts("share", handle).code == 2
    assert artifacts("share", handle, "--principal", "bob", "--session", "s-1").code == 2


def test_what_is_deleted_is_gone(artifacts: Keyboard) -> None:
    handle = save(artifacts, "a.txt", b"x")
    assert "Deleted" in artifacts("delete", handle).out
    again = artifacts("delete", handle)
    assert (again.code, "There is no artifact" in again.err) == (2, True)


def test_garbage_and_the_oldest_are_taken_away(artifacts: Keyboard) -> None:
    handles = [save(artifacts, f"a{n}.txt", b"x" * (n + 1)) for n in range(3)]
    done = artifacts("gc", "--max-count", "1", "--json").json
    assert [each["id"] for each in done["deleted"]] == handles[:2]  # pyright: ignore[reportGeneralTypeIssues]
    assert "Took away 0 blobs" in artifacts("gc").out
    assert artifacts("gc", "--grace", "1s").code == 2


def test_everything_is_verified(artifacts: Keyboard, tmp_path: Path) -> None:
    """Exit code 1, and the first of them, when something is not as it was saved. row: E11"""
    handles = [save(artifacts, f"a{n}.txt", b"secret %d" % n) for n in range(3)]
    assert "Verified 3; everything is as it was saved." in artifacts("verify").out
    for path in (tmp_path / "kept").rglob("*"):
        if path.is_file() and not path.read_bytes().endswith(b"0"):
            path.write_bytes(path.read_bytes()[:-1] + b"X")
    done = artifacts("verify")
    assert done.code == 1
    assert f"2 of 3 are not as they were saved, the first of them {handles[1]}" in done.out
    told = artifacts("verify", "--json")
    assert told.code == 1
    assert [each["artifact"] for each in told.json["bad"]] == handles[1:]  # pyright: ignore[reportGeneralTypeIssues]
    broken = artifacts("get", handles[1], "-o", "out.txt")
    assert (broken.code, Path("out.txt").exists()) == (6, False)


@pytest.mark.parametrize("file", ["none.txt", "."])
def test_what_cannot_be_read_is_named(artifacts: Keyboard, file: str) -> None:
    done = artifacts("save", file)
    assert done.code == 2
    assert file in done.err


def test_names_that_others_chose_cannot_harm_a_terminal(artifacts: Keyboard) -> None:
    """What is refused in a name is refused; what is a label is spelled out."""
    Path("x").write_bytes(b"x")
    assert artifacts("save", "x", "--name", "a\x1b[2J").code == 2
    assert artifacts("save", "x", "--name", "../x").code == 2
    assert artifacts("save", "x", "--access", "nobody").code == 2
