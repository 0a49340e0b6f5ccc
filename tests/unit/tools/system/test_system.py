"""Files, accounts, connections, archives and the kernel of a machine are looked at within bounds. Part of row B1."""

import gzip
import io
import lzma
import os
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.system import system_tools
from quorate.tools.builtin.system.accounts import check_accounts
from quorate.tools.builtin.system.archive import list_archive
from quorate.tools.builtin.system.connections import count_connections
from quorate.tools.builtin.system.kernel import check_kernel
from quorate.tools.workspace import Workspace


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, Any]:
    return {one.name: one for one in system_tools(Workspace(tmp_path))}


def test_open_permissions_are_found(tools: dict[str, Any], tmp_path: Path) -> None:
    for name, mode in (
        *(("open.txt", 0o666), ("run.sh", 0o777), ("suid", 0o4755), ("sgid", 0o2755), ("server.key", 0o644)),
        *(("fine.key", 0o600), ("fine.txt", 0o644), ("id_rsa.pub", 0o644)),
    ):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop").chmod(0o777)
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "link").symlink_to("/etc/passwd")
    report = tools["check_permissions"]()
    assert report.rules == {
        "open-file": 2,
        "open-program": 1,
        "setuid": 1,
        "setgid": 1,
        "readable-secret": 1,
        "open-directory": 1,
    }
    assert report.findings[0].file == "run.sh"
    with pytest.raises(ToolError):
        tools["check_permissions"]("link")


def test_space_is_added_up(tools: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/big.log").write_bytes(b"x" * 5000)
    (root / "a/small.log").write_bytes(b"x" * 10)
    (root / "c.txt").write_bytes(b"x" * 100)
    (root / "link").symlink_to("/usr")
    report = tools["find_large_files"]("root", most=2)
    assert (report.total_bytes, report.files, report.directories) == (5110, 3, 2)
    assert [one.path for one in report.largest] == ["root/a/b/big.log", "root/c.txt"]
    assert [(one.path, one.size_bytes, one.files) for one in report.by_directory] == [
        ("root/a", 5010, 2),
        ("root/a/b", 5000, 1),
    ]
    assert (report.by_suffix[0].suffix, report.by_suffix[0].files) == (".log", 2)


def test_the_kernel_is_held_against_what_is_advised(tmp_path: Path) -> None:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    put("proc/sys/kernel/randomize_va_space", "0\n")
    put("proc/sys/net/ipv4/tcp_syncookies", "1\n")
    put("proc/sys/net/core/somaxconn", "128\n")
    put("proc/sys/kernel/tainted", "1\n")
    put("sys/devices/system/cpu/vulnerabilities/meltdown", "Vulnerable\n")
    put("sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: x\n")
    report = check_kernel(most=50, proc=tmp_path / "proc", sys=tmp_path / "sys")
    assert {"kernel.randomize_va_space", "net.core.somaxconn", "processor-flaw", "tainted"} <= report.rules.keys()
    assert (report.facts["settings"], report.facts["vulnerable"], report.facts["mitigated"]) == (3, 1, 1)
    assert report.findings[0].rule == "kernel.randomize_va_space"
    assert "should be 2: " in report.findings[0].message
    nothing = check_kernel(most=50, proc=tmp_path / "gone", sys=tmp_path / "gone")
    assert nothing.files == 0
    assert nothing.skipped


def test_accounts_are_judged(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "passwd").write_text(
        "root:x:0:0::/root:/bin/bash\nevil:x:0:0::/:/bin/sh\nann::1000:1000::/home/ann:/bin/sh\n"
        f"bob:$6$abc:1000:1000::{tmp_path}/open:/bin/odd\ndaemon:x:2:2::/:/bin/bash\nweb:x:33:33::/:/usr/sbin/nologin\n"
        "bob:x:7:7::/:/bin/false\nbroken\n"
    )
    (tmp_path / "group").write_text("docker:x:99:ann,ghost\nodd\n")
    (tmp_path / "shells").write_text("/bin/sh\n/bin/bash\n")
    report = check_accounts(most=50, etc=tmp_path)
    assert report.rules == {
        "second-root": 1,
        "no-password": 1,
        "open-hash": 1,
        "double-id": 1,
        "double-name": 1,
        "system-shell": 1,
        "unknown-shell": 1,
        "open-home": 1,
        "powerful-group": 1,
        "unknown-member": 1,
        "bad-line": 1,
    }
    assert "$6$abc" not in str(report)
    assert check_accounts(most=5, etc=tmp_path / "gone").files == 0


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="this system has no such table")
def test_connections_are_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        report = count_connections(most=500)
    assert report.status == "ok"
    assert report.states["established"] >= 1
    assert report.total >= 1
    assert "127.0.0.1" in {one.address for one in report.by_remote}
    assert count_connections(most=1, proc=Path("/nowhere")).status == "unavailable"


def build_tar(*members: tuple[str, str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "fifo": tarfile.FIFOTYPE}[kind]
            info.linkname = "/etc/passwd" if kind == "link" else ""
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_an_archive_is_listed_and_not_unpacked(tmp_path: Path, pack: Any) -> None:
    data = build_tar(
        ("a/b.txt", "file", b"x" * 100),
        ("../../evil", "file", b"y"),
        ("l", "link", b""),
        ("f", "fifo", b""),
        ("l", "link", b""),
    )
    (tmp_path / "a.tar").write_bytes(pack(data))
    report = list_archive(Workspace(tmp_path), "a.tar")
    assert (report.kind, report.entries, report.total_bytes) == ("tar", 5, 101)
    assert report.names[0] == "a/b.txt"
    said = " ".join(report.dangers)
    for what in ("`../../evil` leads out", "`l` is a link to `/etc/passwd`", "`f` is a device", "comes twice"):
        assert what in said
    assert not (tmp_path / "a").exists()


def test_a_zip_that_would_fill_the_disk_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("zeros.bin", b"\0" * 20_000_000)
        out.writestr("/etc/cron.d/x", "x")
    report = list_archive(Workspace(tmp_path), "b.zip")
    assert (report.kind, report.entries) == ("zip", 2)
    assert report.ratio > 100
    assert "times its size" in report.dangers[0]
    assert any("leads out" in danger for danger in report.dangers)


def test_hostile_archives_are_refused_or_cut(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "no.tar").write_bytes(b"hello" * 1000)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + b"x" * 100)
    (tmp_path / "table.zip").write_bytes(b"PK\x03\x04" + b"PK\x05\x06" + b"\0" * 8 + b"\xff\xff\xff\x7f" + b"\0" * 6)
    # A note of a gigabyte before the first member would be read whole.
    note = tarfile.TarInfo("././@LongLink")
    note.type, note.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    (tmp_path / "note.tar").write_bytes(note.tobuf() + b"\0" * 2048)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(build_tar(("a", "file", b"x" * 5000)))[:60])
    for name in ("no.tar", "cut.zip", "table.zip", "note.tar", "cut.gz"):
        with pytest.raises(ToolError):
            list_archive(workspace, name)
    (tmp_path / "big.tar.gz").write_bytes(
        gzip.compress(build_tar(("zeros", "file", b"\0" * 3_000_000), ("b", "file", b"")))
    )
    report = list_archive(workspace, "big.tar.gz", most_bytes=1_000_000)
    assert report.truncated
    assert report.entries == 1
