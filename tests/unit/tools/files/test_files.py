"""The file tools list, read, search and write within their bounds. row: B7"""

import gzip
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.files import file_tools
from quorate.tools.builtin.files.lines import iter_lines
from quorate.tools.builtin.files.walk import list_entries, matches_glob
from quorate.tools.workspace import Workspace, build_local_workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tmp_path = tmp_path / "root"
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "one.py").write_text("import os\nprint('needle')\n")
    (tmp_path / "src" / "deep" / "two.py").write_text("x = 1\n" * 10)
    (tmp_path / "notes.txt").write_text("Needle in notes\n")
    (tmp_path / "image.bin").write_bytes(b"\0\1needle")
    (tmp_path / "link.py").symlink_to("src/one.py")
    return tmp_path


def tools(root: Path, *, writable: bool = False) -> dict[str, Any]:
    return {one.name: one for one in file_tools(Workspace(root, writable=writable))}


def test_writing_is_offered_only_where_it_is_possible(root: Path) -> None:
    assert sorted(tools(root)) == ["list_files", "read_file", "search_files", "stat_file"]
    assert "write_file" in tools(root, writable=True)
    for one in file_tools(Workspace(root, writable=True)):
        assert one.spec.effect == "idempotent"
        assert one.spec.description


def test_listing_is_filtered_and_bounded(root: Path) -> None:
    workspace = Workspace(root)

    def paths(path: str, pattern: str, *, recursive: bool = True, most: int = 100) -> list[str]:
        found = list_entries(workspace, path, pattern=pattern, recursive=recursive, max_entries=most)
        return [entry.path for entry in found.entries]

    assert paths(".", "*.py") == ["link.py", "src/one.py", "src/deep/two.py"]
    assert paths(".", "src/*.py") == ["src/one.py"]
    assert set(paths(".", "src/**/*.py")) == {"src/one.py", "src/deep/two.py"}
    assert paths("src", "deep/*.py") == ["src/deep/two.py"]
    assert paths(".", "*", recursive=False) == ["image.bin", "link.py", "notes.txt", "src"]
    assert list_entries(workspace, ".", pattern="*", recursive=True, max_entries=2).truncated
    with pytest.raises(ToolError, match="not a directory"):
        paths("notes.txt", "*")


def test_a_listing_of_the_local_operator_can_be_read_again(root: Path) -> None:
    workspace = build_local_workspace(root / "src")
    for path in (".", str(root)):
        for entry in list_entries(workspace, path, pattern="*.py", recursive=True, max_entries=10).entries:
            assert workspace.stat(entry.path).kind == "file"


def test_globs() -> None:
    assert matches_glob("a/b/c.py", "**/*.py")
    assert matches_glob("c.py", "**/*.py")
    assert matches_glob("a/b/c.py", "a/**/c.py")
    assert matches_glob("a/c.py", "a/**/c.py")
    assert not matches_glob("a/b/c.py", "a/*.py")
    assert not matches_glob("a" + "/a" * 200, "/".join(["**"] * 100) + "/b")


def test_a_range_of_lines_is_read(root: Path) -> None:
    read = tools(root)["read_file"]
    text = read("src/deep/two.py", first_line=3, max_lines=2)
    assert (text.text, text.first_line, text.last_line, text.has_more) == ("x = 1\nx = 1", 3, 4, True)
    assert not read("src/one.py").has_more
    assert read("src/one.py", first_line=99).text == ""
    with pytest.raises(ToolError, match="binary"):
        read("image.bin")


def test_bytes_that_are_no_text_are_said(root: Path) -> None:
    (root / "latin.txt").write_bytes("café".encode("latin-1"))
    read = tools(root)["read_file"]
    assert read("latin.txt").has_invalid_bytes
    assert read("latin.txt", encoding="latin-1").text == "café"


def test_search_finds_lines_and_passes_over_binary_files(root: Path) -> None:
    search = tools(root)["search_files"]
    found = search("needle", ignore_case=True)
    assert [(match.path, match.line) for match in found.matches] == [("notes.txt", 1), ("src/one.py", 2)]
    assert found.files_skipped == 1
    assert search("needle", glob="*.py").matches[0].path == "src/one.py"
    assert search("^import", kind="regex", path="src/one.py").matches[0].line == 1
    assert search("x = 1", max_matches=3).truncated


def test_links_are_named_and_never_entered(root: Path) -> None:
    (root / "loop").symlink_to(".")
    listing = tools(root)["list_files"](recursive=True, max_entries=100)
    assert next(entry for entry in listing.entries if entry.path == "loop").kind == "link"
    assert not any(entry.path.startswith("loop/") for entry in listing.entries)


def test_writing_returns_what_is_there(root: Path) -> None:
    write = tools(root, writable=True)["write_file"]
    assert write("new.txt", "é").size_bytes == 2
    assert (root / "new.txt").read_text() == "é"


def test_names_that_are_no_text_are_shown_so_that_they_can_travel(root: Path) -> None:
    (root / "bad").mkdir()
    with open(bytes(root) + b"/bad/\xff.txt", "wb"):
        pass
    shown = [entry.path for entry in tools(root)["list_files"]("bad").entries]
    assert "bad/\N{REPLACEMENT CHARACTER}.txt" in shown


def test_lines_come_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"a" * 1_000_000 + b"\r\nb\n\nlast")
    with open(path, "rb") as stream:
        assert list(iter_lines(stream, max_line_bytes=10)) == [b"a" * 10, b"b", b"", b"last"]


def test_packed_files_are_searched(root: Path) -> None:
    (root / "old.log.gz").write_bytes(gzip.compress(b"one\nneedle two\n"))
    found = tools(root)["search_files"]("needle", path="old.log.gz")
    assert [(match.line, match.text) for match in found.matches] == [(2, "needle two")]
