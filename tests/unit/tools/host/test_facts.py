"""Mounts, processes and limits are read from what the system prints. row: B1"""

import builtins
import sys
from pathlib import Path

import pytest

from quorate.errors import MissingExtra
from quorate.tools.builtin.host import host_tools
from quorate.tools.builtin.host.cpu import measure_cpu
from quorate.tools.builtin.host.disks import parse_mounts
from quorate.tools.builtin.host.processes import Process, describe_command, summarize_processes
from quorate.tools.builtin.host.system import measure_open_files, parse_file_limit


def test_mounts_with_odd_names_and_over_one_another() -> None:
    text = (
        "/dev/sda1 / ext4 rw,relatime 0 0\n"
        "/dev/sdb1 /mnt/my\\040disk xfs ro,noatime 0 0\n"
        "none /proc proc rw 0 0\n"
        "/dev/sdc1 / btrfs ro 0 0\nbroken\n"
    )
    mounts = {mount.path: mount for mount in parse_mounts(text)}
    assert mounts["/"].filesystem == "btrfs"
    assert mounts["/mnt/my disk"].is_read_only
    assert len(mounts) == 3


def test_secrets_on_a_command_line_are_not_shown() -> None:
    shown = describe_command(
        ["app", "--password", "hunter2", "--api-key=abc", "--verbose", "DB_TOKEN=xyz", "pg://bob:pw@db/x", "\udcff"]
    )
    assert (
        shown == "app --password *** --api-key=*** --verbose DB_TOKEN=*** pg://bob:***@db/x \N{REPLACEMENT CHARACTER}"
    )
    assert len(describe_command(["x" * 5000])) == 200


def process(pid: int, *, cpu: float = 0.0, rss: int = 0, state: str = "sleeping") -> Process:
    return Process(
        pid=pid,
        name=f"p{pid}",
        user="root",
        command="",
        cpu_percent=cpu,
        rss_bytes=rss,
        memory_percent=0.0,
        state=state,
        threads=1,
        age_s=1.0,
    )


def test_the_busiest_are_listed_and_zombies_counted() -> None:
    found = [
        process(1, cpu=5, rss=10),
        process(2, cpu=90),
        process(3, rss=99, state="zombie"),
        process(4, state="zombie"),
    ]
    report = summarize_processes(found, most=2, interval_s=0.5)
    assert [one.pid for one in report.top_cpu] == [2, 1]
    assert [one.pid for one in report.top_memory] == [3, 1]
    assert (report.total, report.zombies, report.zombie_pids) == (4, 2, (3, 4))
    assert report.states == {"sleeping": 2, "zombie": 2}


def test_open_files_are_held_against_the_limit_of_each_process(tmp_path: Path) -> None:
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/file-nr").write_text("500\t0\t1000\n")
    for pid, count, limit in ((10, 3, "10"), (11, 4, "unlimited")):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text("app\n")
        (tmp_path / str(pid) / "limits").write_text(
            f"Limit  Soft Hard\nMax open files            {limit}   4096   files\n"
        )
        for number in range(count):
            (tmp_path / str(pid) / "fd" / str(number)).touch()
    (tmp_path / "12").mkdir()
    files = measure_open_files(most=5, proc=tmp_path)
    assert (files.system_open, files.system_limit, files.system_percent) == (500, 1000, 50.0)
    assert [(user.pid, user.open_files, user.limit, user.percent) for user in files.processes] == [
        (10, 3, 10, 30.0),
        (11, 4, None, 0.0),
    ]
    assert measure_open_files(most=1, proc=tmp_path / "none").status == "unavailable"
    assert parse_file_limit("") is None


def test_without_psutil_the_error_names_the_line_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[ops\]'"):
        measure_cpu(0.05)


def test_importing_the_tools_does_not_load_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = builtins.__import__

    def watch(name: str, *args: object, **kwargs: object) -> object:
        loaded.append(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", watch)
    tools = host_tools()
    assert [one.spec.effect for one in tools] == ["idempotent"] * len(tools)
    assert "psutil" not in loaded
