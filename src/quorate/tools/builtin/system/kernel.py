"""How is the kernel set, which flaws of the processor does it know, and what may this process use?"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from msgspec import Struct

from quorate.tools.builtin.checks import Board, Checked
from quorate.tools.builtin.code.finding import Severity
from quorate.tools.builtin.host.facts import read_fact


class Setting(Struct, frozen=True, kw_only=True):
    """A setting of the kernel, and what it should be."""

    name: str
    least: int
    most: int
    severity: Severity
    message: str


def _expect(name: str, least: int, most: int, severity: Severity, message: str) -> Setting:
    return Setting(name=name, least=least, most=most, severity=severity, message=message)


_ANY = 1 << 62
_SETTINGS = (
    _expect("kernel.randomize_va_space", 2, 2, "high", "addresses can be guessed"),
    _expect("kernel.kptr_restrict", 1, 2, "low", "everybody may read addresses of the kernel"),
    _expect("kernel.dmesg_restrict", 1, 1, "low", "everybody may read the kernel's messages"),
    _expect("kernel.unprivileged_bpf_disabled", 1, 2, "medium", "everybody may load programs into the kernel"),
    _expect("kernel.yama.ptrace_scope", 1, 3, "low", "a process may read the memory of its owner's others"),
    _expect("fs.protected_hardlinks", 1, 1, "medium", "links to files of others can be planted"),
    _expect("fs.protected_symlinks", 1, 1, "medium", "links in shared directories are followed"),
    _expect("fs.suid_dumpable", 0, 0, "medium", "programs with rights leave their memory on disk"),
    _expect("net.ipv4.tcp_syncookies", 1, 2, "medium", "a flood of half-open connections shuts others out"),
    _expect("net.ipv4.conf.all.accept_redirects", 0, 0, "medium", "neighbours may redirect traffic"),
    _expect("net.ipv4.conf.all.send_redirects", 0, 0, "low", "this machine redirects its neighbours"),
    _expect("net.ipv4.conf.all.accept_source_route", 0, 0, "medium", "senders may choose the way of packets"),
    _expect("net.ipv4.conf.all.rp_filter", 1, 2, "low", "packets with false senders are accepted"),
    _expect("net.ipv4.icmp_echo_ignore_broadcasts", 1, 1, "low", "it answers pings to everybody"),
    _expect("vm.overcommit_memory", 0, 1, "low", "programs fail early when memory is asked for in advance"),
    _expect("vm.swappiness", 0, 60, "low", "memory in use is moved to disk early"),
    _expect("net.core.somaxconn", 1024, _ANY, "low", "connections are refused at bursts"),
    _expect("fs.file-max", 65_536, _ANY, "medium", "few files may be open at once"),
    _expect("vm.max_map_count", 65_530, _ANY, "low", "large programs run out of mappings"),
)
_LIMITS = (
    ("open files", resource.RLIMIT_NOFILE, 1024),
    ("processes", resource.RLIMIT_NPROC, 1024),
    ("stack bytes", resource.RLIMIT_STACK, 1 << 20),
)


def check_kernel(*, most: int, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Checked:
    """Hold the settings of this machine's kernel against what is advised; what it does not have is passed over."""
    board = Board("settings", "vulnerable", "mitigated", "processors", "entropy_bits")
    for one in _SETTINGS:
        path = proc / "sys" / one.name.replace(".", "/")
        words = (read_fact(path) or "").split()
        if not words or not words[0].lstrip("-").isdigit():
            continue
        board.count("settings")
        board.item(f"{one.name}={words[0]}")
        if not one.least <= int(words[0]) <= one.most:
            wanted = f"{one.least}" if one.least == one.most else f"at least {one.least}"
            wanted = f"{one.least} to {one.most}" if one.least != one.most < _ANY else wanted
            message = f"`{one.name}` is {words[0]} and should be {wanted}: {one.message}"
            board.note(str(path), 1, one.name, one.severity, message, evidence=f"{one.name} = {words[0]}")
    _check_processor(board, sys / "devices" / "system" / "cpu" / "vulnerabilities")
    for name, which, least in _LIMITS:
        soft, hard = resource.getrlimit(which)
        if soft != resource.RLIM_INFINITY and soft < least:
            ceiling = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
            message = f"this process may use {soft} {name}, fewer than {least} (it may raise it to {ceiling})"
            board.note("limits", 1, "low-limit", "medium", message, evidence=f"{soft}")
    entropy = (read_fact(proc / "sys/kernel/random/entropy_avail") or "0").strip()
    board.facts["entropy_bits"] = int(entropy) if entropy.isdigit() else 0
    board.facts["processors"] = os.cpu_count() or 0
    tainted = (read_fact(proc / "sys/kernel/tainted") or "0").strip()
    if tainted not in ("0", ""):
        board.note(
            str(proc / "sys/kernel/tainted"), 1, "tainted", "low", "a foreign module was loaded, or the kernel erred"
        )
    board.files = board.facts["settings"]
    if not board.files:
        board.skipped.append(f"there are no settings of a kernel below {proc}/sys")
    return board.build("this machine", most=most)


def _check_processor(board: Board, place: Path) -> None:
    try:
        names = sorted(os.listdir(place))
    except OSError:
        return
    for name in names[:100]:
        said = (read_fact(place / name) or "").strip()
        if said.startswith("Vulnerable"):
            board.count("vulnerable")
            message = f"the processor has the flaw `{name}`, and nothing is done against it"
            board.note(str(place / name), 1, "processor-flaw", "medium", message, evidence=said)
        elif said.startswith("Mitigation"):
            board.count("mitigated")
