"""Limits of control groups are read in both versions. row: B1"""

from pathlib import Path

from quorate.tools.builtin.host.cgroup import parse_membership, read_cgroup


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_the_second_version_with_the_tightest_limit_of_all_above(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app/web\n",
            "cg/cgroup.controllers": "cpu memory pids\n",
            "cg/app/memory.max": "1000000\n",
            "cg/app/cpu.max": "150000 100000\n",
            "cg/app/web/memory.max": "max\n",
            "cg/app/web/memory.current": "250000\n",
            "cg/app/web/memory.events": "low 0\noom 3\noom_kill 2\n",
            "cg/app/web/cpu.max": "max 100000\n",
            "cg/app/web/cpu.stat": "usage_usec 9\nnr_periods 200\nnr_throttled 50\nthrottled_usec 2500000\n",
            "cg/app/web/pids.max": "100\n",
            "cg/app/web/pids.current": "7\n",
        },
    )
    limits = read_cgroup(proc=tmp_path / "proc", root=tmp_path / "cg")
    assert (limits.version, limits.status, limits.path) == (2, "ok", "/app/web")
    assert (limits.memory_limit_bytes, limits.memory_used_bytes, limits.memory_percent) == (1_000_000, 250_000, 25.0)
    assert (limits.cpu_limit_cores, limits.cpu_throttled_percent, limits.cpu_throttled_s) == (1.5, 25.0, 2.5)
    assert (limits.oom_kills, limits.pids_limit, limits.pids_used) == (2, 100, 7)


def test_the_first_version_where_no_limit_is_a_very_large_one(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/x\n",
            "cg/memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
            "cg/memory/docker/abc/memory.usage_in_bytes": "4096\n",
            "cg/cpu/docker/abc/cpu.cfs_quota_us": "50000\n",
            "cg/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            "cg/cpu/docker/abc/cpu.stat": "nr_periods 10\nnr_throttled 1\nthrottled_time 3000000000\n",
        },
    )
    limits = read_cgroup(proc=tmp_path / "proc", root=tmp_path / "cg")
    assert (limits.version, limits.memory_limit_bytes, limits.memory_used_bytes) == (1, None, 4096)
    assert limits.memory_percent is None
    assert (limits.cpu_limit_cores, limits.cpu_throttled_percent, limits.cpu_throttled_s) == (0.5, 10.0, 3.0)
    assert limits.pids_limit is None


def test_in_a_container_the_group_is_the_root_of_what_is_mounted(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/../outside/abc\n",
            "cg/cgroup.controllers": "memory\n",
            "cg/memory.max": "5000\n",
            "outside/abc/memory.max": "1\n",
        },
    )
    assert read_cgroup(proc=tmp_path / "proc", root=tmp_path / "cg").memory_limit_bytes == 5000


def test_a_machine_without_control_groups_says_so(tmp_path: Path) -> None:
    assert read_cgroup(proc=tmp_path, root=tmp_path).status == "unavailable"
    plant(tmp_path, {"proc/self/cgroup": "0::/\n"})
    limits = read_cgroup(proc=tmp_path / "proc", root=tmp_path / "none")
    assert (limits.status, limits.version) == ("unavailable", None)


def test_membership_is_read_with_colons_in_paths() -> None:
    assert parse_membership("0::/a:b\n3:cpu,cpuacct:/x\n") == {"": "/a:b", "cpu": "/x", "cpuacct": "/x"}
