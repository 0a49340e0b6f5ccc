"""No name leads out of a workspace. row: B7"""

import contextlib
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from quorate.errors import ToolError
from quorate.tools.workspace import Workspace, build_local_workspace, split_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "logs").mkdir(parents=True)
    (inside / "logs" / "app.log").write_text("hello\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    return inside


def read(workspace: Workspace, path: str) -> bytes:
    with workspace.open_file(path) as stream:
        return stream.read()


def test_a_file_below_the_root_is_read(root: Path) -> None:
    assert read(Workspace(root), "logs/app.log") == b"hello\n"
    assert read(Workspace(root), "./logs//./app.log") == b"hello\n"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("../outside/secret.txt", "climbs"),
        ("logs/../../outside/secret.txt", "climbs"),
        ("logs/..", "climbs"),
        ("/etc/hostname", "absolute"),
        ("//etc/hostname", "absolute"),
        ("~/x", "absolute"),
        ("logs/app.log\0.txt", "control character"),
        ("logs/app\n.log", "control character"),
        ("a" * 5000, "characters long"),
        ("a" * 300, "longer than 255 bytes"),
        ("é" * 200, "longer than 255 bytes"),
        ("", "file name is needed"),
        (".", "file name is needed"),
        ("logs", "is a directory"),
        ("missing.txt", "There is no"),
        ("logs/app.log/x", "cannot be used: Not a directory"),
    ],
)
def test_names_that_may_not_be_used_are_refused_with_the_reason(root: Path, path: str, word: str) -> None:
    """Absolute, climbing, over-long and malformed names are refused. row: B7"""
    with pytest.raises(ToolError, match=word):
        read(Workspace(root), path)


def test_a_link_is_refused_as_file_and_as_parent(root: Path) -> None:
    """A symbolic link at the end or in the middle of a path is not followed. row: B7"""
    (root / "direct.txt").symlink_to(root.parent / "outside" / "secret.txt")
    (root / "parent").symlink_to(root.parent / "outside")
    (root / "harmless").symlink_to(root / "logs")
    for path in ("direct.txt", "parent/secret.txt", "harmless/app.log"):
        with pytest.raises(ToolError, match="symbolic link"):
            read(Workspace(root), path)


def test_a_link_that_is_swapped_in_is_never_followed(root: Path) -> None:
    """Whatever is swapped while a path is opened, nothing outside is read. row: B7"""
    workspace, stop = Workspace(root), threading.Event()
    outside = root.parent / "outside"
    (outside / "app.log").write_text("secret")
    (root / "spare").symlink_to(outside)

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "logs", root / "kept")
            os.rename(root / "spare", root / "logs")
            os.rename(root / "logs", root / "spare")
            os.rename(root / "kept", root / "logs")

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes] = set()
    refused = 0
    try:
        for _ in range(3000):
            try:
                seen.add(read(workspace, "logs/app.log"))
            except ToolError:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert seen <= {b"hello\n"}
    assert refused > 0


def test_links_inside_may_be_allowed_and_lead_nowhere_else(root: Path) -> None:
    workspace = Workspace(root, links="inside")
    (root / "latest.log").symlink_to("logs/app.log")
    (root / "away").symlink_to(root.parent / "outside")
    assert read(workspace, "latest.log") == b"hello\n"
    with pytest.raises(ToolError, match="outside the workspace"):
        read(workspace, "away/secret.txt")


def test_devices_pipes_and_sockets_are_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(root / "socket"))
    with server:
        for path in ("pipe", "socket"):
            with pytest.raises(ToolError, match="device, socket or FIFO"):
                read(Workspace(root), path)
    with pytest.raises(ToolError, match="device, socket or FIFO"):
        read(Workspace("/dev"), "null")


def test_size_and_suffix_limits_hold(root: Path) -> None:
    """Files over the size limit or without an allowed suffix are refused. row: B7"""
    with pytest.raises(ToolError, match="6 bytes; at most 5"):
        read(Workspace(root, max_file_bytes=5), "logs/app.log")
    with pytest.raises(ToolError, match=r"Allowed: \.txt"):
        read(Workspace(root, extensions=[".txt"]), "logs/app.log")
    assert read(Workspace(root, extensions=[".LOG"]), "logs/app.log")


@pytest.mark.parametrize("name", [".env", "server.key", "ID_RSA", ".ssh/config"])
def test_names_that_hold_credentials_are_refused(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("x")
    with pytest.raises(ToolError, match="credentials"):
        read(Workspace(root), name)
    assert read(Workspace(root, denied=()), name) == b"x"


def test_writing_needs_a_writable_workspace_and_is_atomic(root: Path) -> None:
    with pytest.raises(ToolError, match="read-only"):
        Workspace(root).write("new.txt", b"x")
    workspace = Workspace(root, writable=True)
    assert workspace.write("logs/new.txt", b"one").size_bytes == 3
    assert workspace.write("logs/new.txt", b"three").size_bytes == 5
    assert sorted(os.listdir(root / "logs")) == ["app.log", "new.txt"]
    with pytest.raises(ToolError, match="exists already"):
        workspace.write("logs/new.txt", b"", overwrite=False)


def test_writing_neither_follows_links_nor_leaves_the_root(root: Path) -> None:
    """A link, a climbing name or a missing parent is no way to write outside. row: B7"""
    workspace = Workspace(root, writable=True, max_file_bytes=10)
    (root / "link.txt").symlink_to(root.parent / "outside" / "secret.txt")
    (root / "parent").symlink_to(root.parent / "outside")
    for path in ("link.txt", "parent/new.txt", "../new.txt", "/tmp/new.txt", "missing/new.txt"):
        with pytest.raises(ToolError):
            workspace.write(path, b"x")
    with pytest.raises(ToolError, match="11 bytes; at most 10"):
        workspace.write("big.txt", b"x" * 11)
    assert os.listdir(root.parent / "outside") == ["secret.txt"]
    assert (root.parent / "outside" / "secret.txt").read_text() == "secret"


def test_stat_describes_without_following(root: Path) -> None:
    (root / "link").symlink_to("/etc")
    workspace = Workspace(root)
    assert workspace.stat("link").kind == "link"
    assert workspace.stat("logs").kind == "directory"
    assert workspace.stat("logs/app.log").size_bytes == 6
    assert workspace.stat(".").path == "."
    assert stat.S_ISREG(os.stat(root / "logs/app.log").st_mode)
    with pytest.raises(ToolError, match="There is no"):
        workspace.stat("nothing")


def test_the_local_operator_reads_absolute_names_and_names_from_the_start(root: Path) -> None:
    workspace = build_local_workspace(root)
    assert read(workspace, "logs/app.log") == read(workspace, str(root / "logs" / "app.log")) == b"hello\n"
    assert workspace.stat("logs/app.log").path == "logs/app.log"
    outside = workspace.stat(str(root.parent / "outside"))
    assert outside.path == str(root.parent / "outside")
    with pytest.raises(ToolError, match="read-only"):
        workspace.write("x", b"")


def test_an_absolute_name_outside_the_root_is_refused_even_where_they_are_accepted(root: Path) -> None:
    workspace = Workspace(root, absolute=True)
    assert read(workspace, str(root / "logs/app.log")) == b"hello\n"
    with pytest.raises(ToolError, match="outside the workspace"):
        read(workspace, str(root.parent / "outside/secret.txt"))


def test_no_descriptor_is_left_open(root: Path) -> None:
    workspace = Workspace(root)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("logs/app.log", "logs", "missing", "logs/app.log/x", "../x"):
        for _ in range(20):
            with contextlib.suppress(ToolError):
                read(workspace, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_root_that_is_not_there_is_told(root: Path) -> None:
    for workspace in (Workspace(root / "none"), Workspace(root / "logs" / "app.log")):
        with pytest.raises(ToolError):
            read(workspace, "x")
        with pytest.raises(ToolError):
            workspace.stat(".")


def test_split_path_keeps_only_names() -> None:
    assert split_path("./a//b/./c/") == ("a", "b", "c")
    assert split_path(".") == ()
