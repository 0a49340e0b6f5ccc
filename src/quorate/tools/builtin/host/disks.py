"""How full are the disks, in bytes and in inodes, and can they be written to?"""

from __future__ import annotations

import os

from msgspec import Struct

from quorate.tools.builtin.host.facts import load_psutil, percent, read_fact

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "9p", "fuse.sshfs", "afpfs"})
PSEUDO = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fuse.gvfsd-fuse",
        "fuse.lxcfs",
        "fuse.portal",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "none",
        "nsfs",
        "proc",
        "procfs",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
    ]
)
"""Filesystems that hold no files of anybody's, or are full by nature."""


class Mount(Struct, frozen=True, kw_only=True):
    """A filesystem and the place where it appears."""

    device: str
    path: str
    filesystem: str
    is_read_only: bool


class Disk(Struct, frozen=True, kw_only=True):
    """How full a filesystem is."""

    path: str
    device: str
    filesystem: str
    total_bytes: int
    used_bytes: int
    free_bytes: int
    """What ordinary users may still write."""
    percent: float
    """Used, of what ordinary users can use; the number that `df` prints."""
    inodes: int
    """0 where the filesystem does not count them."""
    inodes_percent: float
    is_read_only: bool


class DiskReport(Struct, frozen=True, kw_only=True):
    """The filesystems that hold files, the fullest first."""

    disks: tuple[Disk, ...]
    nearly_full: tuple[str, ...]
    """Where bytes or inodes are used beyond the threshold; images that are full by nature are left out."""
    read_only: tuple[str, ...]
    """Where nothing can be written, by intent or because the kernel met an error."""
    threshold_percent: float
    skipped: tuple[str, ...] = ()
    """Network filesystems, which are not asked because a dead server would never answer, and unreadable ones."""


def measure_disks(threshold_percent: float) -> DiskReport:
    """Measure every filesystem that holds files."""
    disks: list[Disk] = []
    skipped: list[str] = []
    seen: set[int] = set()
    for mount in list_mounts():
        if mount.filesystem in PSEUDO or mount.path.startswith(("/proc/", "/sys/")):
            continue
        if mount.filesystem in NETWORK:
            skipped.append(f"{mount.path}: {mount.filesystem} is a network filesystem")
            continue
        try:
            device = os.stat(mount.path).st_dev
            disk = measure_disk(mount)
        except OSError as error:
            skipped.append(f"{mount.path}: {os.strerror(error.errno or 0)}")
            continue
        # The same filesystem appears once for each place where a part of it is bound.
        if device not in seen and disk.total_bytes > 0:
            seen.add(device)
            disks.append(disk)
    disks.sort(key=lambda disk: (-max(disk.percent, disk.inodes_percent), disk.path))
    return DiskReport(
        disks=tuple(disks),
        nearly_full=tuple(disk.path for disk in disks if _is_nearly_full(disk, threshold_percent)),
        read_only=tuple(disk.path for disk in disks if disk.is_read_only),
        threshold_percent=threshold_percent,
        skipped=tuple(skipped),
    )


def measure_disk(mount: Mount) -> Disk:
    """Measure one filesystem."""
    facts = os.statvfs(mount.path)
    total, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
    used = total - facts.f_bfree * facts.f_frsize
    return Disk(
        path=mount.path,
        device=mount.device,
        filesystem=mount.filesystem,
        total_bytes=total,
        used_bytes=used,
        free_bytes=free,
        percent=percent(used, used + free),
        inodes=facts.f_files,
        inodes_percent=percent(facts.f_files - facts.f_ffree, facts.f_files),
        is_read_only=mount.is_read_only,
    )


def list_mounts() -> list[Mount]:
    """List what is mounted, from the kernel itself where it tells."""
    text = read_fact("/proc/self/mounts")
    if text is not None:
        return parse_mounts(text)
    return [
        Mount(
            device=part.device, path=part.mountpoint, filesystem=part.fstype, is_read_only="ro" in part.opts.split(",")
        )
        for part in load_psutil().disk_partitions(all=True)
    ]


def parse_mounts(text: str) -> list[Mount]:
    """Read `/proc/self/mounts`; a place that is mounted over counts with what is on top."""
    mounts: dict[str, Mount] = {}
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        device, path, filesystem, options = (_unescape(field) for field in fields[:4])
        is_read_only = "ro" in options.split(",")
        mounts[path] = Mount(device=device, path=path, filesystem=filesystem, is_read_only=is_read_only)
    return list(mounts.values())


def _is_nearly_full(disk: Disk, threshold_percent: float) -> bool:
    return not disk.is_read_only and max(disk.percent, disk.inodes_percent) >= threshold_percent


def _unescape(field: str) -> str:
    # The kernel writes space, tab, newline and backslash as octal numbers.
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field
