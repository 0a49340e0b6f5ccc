"""Is a file that was made to harm refused before anything of it is used?"""

import asyncio
import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.backup.filling import fill, snapshot

from quorate.errors import CorruptState, InvalidInput, QuorateError, TooLarge
from quorate.events import SCHEMA_VERSION
from quorate.state.backends.memory import open_memory_store
from quorate.state.backup import create_backup, restore_backup, verify_backup
from quorate.state.backup import format as backup_format
from quorate.testing.clock import ManualClock

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("backup") / "good"

    async def make() -> None:
        async with open_memory_store(clock=ManualClock()) as store:
            await fill(store, clock=ManualClock())
            await create_backup(store, path)

    asyncio.run(make())
    return path.read_bytes()


def unpack(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members: Members, *, extra: Callable[[zipfile.ZipFile], None] = lambda _: None) -> bytes:
    """Put members into an archive, the manifest told what they are now."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        extra(archive)
    return out.getvalue()


def seal(members: Members, **changes: object) -> Members:
    """Say in the manifest what the members are now, as somebody would who forges a backup."""
    import hashlib

    manifest = msgspec.json.decode(members["manifest.json"])
    for member in manifest["members"]:
        body = members[member["name"]]
        member["size"], member["sha256"] = len(body), hashlib.sha256(body).hexdigest()
        if member["name"] == "runs.jsonl":
            member["count"] = body.count(b'{"kind":"export.run"')
        elif member["name"] == "values.jsonl":
            member["count"] = body.count(b"\n")
    manifest |= changes
    return {**members, "manifest.json": msgspec.json.encode(manifest)}


async def refuse(path: Path, data: bytes, *, said: str, kind: type[QuorateError] = InvalidInput) -> None:
    path.write_bytes(data)
    with pytest.raises(kind, match=said):
        await verify_backup(path)
    async with open_memory_store() as store:
        with pytest.raises(kind, match=said):
            await restore_backup(store, path)
        assert await snapshot(store) == {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostile"


@pytest.mark.parametrize(
    "name",
    ["../runs.jsonl", "/etc/passwd", "runs.jsonl/../x", "a/b", "C:\\x", "values.jsonlQ.txt", "manifest.json "],
)
async def test_members_with_other_names_are_refused(good: bytes, path: Path, name: str) -> None:
    """No name but the four is read, wherever it would lead."""
    members = unpack(good)
    for kept in (members, {key: body for key, body in members.items() if key != "values.jsonl"}):
        data = pack({**kept, name: b"x"})
        await refuse(path, data, said="is no backup")
        # What a careless reader takes for `values.jsonl`.
        await refuse(path, data.replace(b"jsonlQ.txt", b"jsonl\0.txt"), said="is no backup")


@pytest.mark.filterwarnings("ignore:Duplicate name")
async def test_a_member_twice_is_refused(good: bytes, path: Path) -> None:
    """Of two members of one name nobody could say which was checked."""
    data = pack(unpack(good), extra=lambda archive: archive.writestr("runs.jsonl", b"other"))
    await refuse(path, data, said="is no backup")


async def test_links_and_devices_are_refused(good: bytes, path: Path) -> None:
    """A member that claims to be a link is no member."""
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, body in unpack(good).items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (kind | 0o777) << 16 if name == "values.jsonl" else 0
                archive.writestr(info, body)
        await refuse(path, out.getvalue(), said="no plain file")


async def test_a_bomb_is_refused_by_what_it_says(good: bytes, path: Path) -> None:
    """What unfolds to far more than it is, is not unfolded; nor what is more than may be read."""
    members = unpack(good) | {"values.jsonl": b" " * (80 << 20)}
    await refuse(path, pack(members), said="times its size", kind=TooLarge)
    path.write_bytes(good)
    with pytest.raises(TooLarge, match="max_bytes"):
        await verify_backup(path, max_bytes=1000)
    huge = unpack(good) | {"manifest.json": b" " * (2 << 20)}
    await refuse(path, pack(huge), said="manifest of", kind=TooLarge)


async def test_a_bomb_that_lies_about_its_size_is_refused(good: bytes, path: Path) -> None:
    """A member that says it is small is read only as far as it says, and then it is not what was written."""
    data = bytearray(pack(unpack(good) | {"values.jsonl": b" " * (4 << 20)}))
    for magic, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = 0
        while (at := data.find(magic, at)) >= 0:
            length = struct.unpack_from("<H", data, at + (28 if magic == b"PK\1\2" else 26))[0]
            begin = at + (46 if magic == b"PK\1\2" else 30)
            if data[begin : begin + length] == b"values.jsonl":
                struct.pack_into("<I", data, at + place, 100)
            at += 4
    path.write_bytes(data)
    with pytest.raises((CorruptState, InvalidInput)):
        await verify_backup(path)


async def test_many_members_are_refused_before_they_are_listed(good: bytes, path: Path) -> None:
    """A table of a hundred thousand members is not even read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(70_000):
            archive.writestr(f"m{number}", b"")
    await refuse(path, out.getvalue(), said="a backup has four")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(1000):
            archive.writestr(f"m{number}", b"")
    await refuse(path, out.getvalue(), said="a backup has four")


async def test_what_follows_the_end_is_refused(good: bytes, path: Path) -> None:
    """A backup ends where it ends: nothing hides behind it, nor before it."""
    await refuse(path, good + b"tail", said="does not end as one does")


@pytest.mark.parametrize(
    ("changes", "said", "kind"),
    [
        ({"format": 2}, "format 2.*Upgrade", CorruptState),
        ({"schema": "2.0"}, "schema '2.0'.*Upgrade", CorruptState),
        ({"schema": f"{SCHEMA_VERSION.split('.')[0]}.999"}, "Upgrade", CorruptState),
        ({"schema": "?"}, "not a version", InvalidInput),
        ({"format": 0}, "is no backup", InvalidInput),
        ({"format": "1"}, "manifest that cannot be read", InvalidInput),
        ({"members": []}, "is no backup", InvalidInput),
        ({"events": 3}, "does not hold together", CorruptState),
    ],
)
async def test_other_versions_are_refused(
    good: bytes, path: Path, changes: dict[str, object], said: str, kind: type[QuorateError]
) -> None:
    """A backup of a newer format or schema says what to do; one that makes no sense is none."""
    members = unpack(good)
    manifest = msgspec.json.decode(members["manifest.json"]) | changes
    path.write_bytes(pack({**members, "manifest.json": msgspec.json.encode(manifest)}))
    async with open_memory_store() as store:
        with pytest.raises(kind, match=said):
            await restore_backup(store, path)
        assert await snapshot(store) == {}


def replace_line(members: Members, number: int, line: bytes) -> Members:
    lines = members["values.jsonl"].splitlines(keepends=True)
    lines[number] = line + b"\n"
    return seal({**members, "values.jsonl": b"".join(lines)})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"garbage", "line 1 cannot be read"),
        (b'{"key":"","value":""}', "line 1: key ''"),
        (b'{"key":"a\\u0000b","value":""}', "without NUL"),
        (b'{"key":"' + b"k" * 600 + b'","value":""}', "512 bytes"),
        (b'{"key":"artifact","value":"%%%"}', "line 1 cannot be read"),
        (b'{"key":"a","value":"","expires":1e999}', "line 1"),
        (b'{"key":"a","value":"","more":1}', "line 1 cannot be read"),
        (b'{"key":"zzz","value":""}', "line 2: key .* comes twice or out of order"),
        (b"[" * 200_000, "line 1 cannot be read"),
        (b'{"key":"a","value":"' + b"A" * 1_500_000 + b'"}', "at most 1048576"),
    ],
)
async def test_values_that_cannot_be_are_refused(good: bytes, path: Path, line: bytes, said: str) -> None:
    """A forged value, digests and all, is named with its line."""
    await refuse(path, pack(replace_line(unpack(good), 0, line)), said=said)


def frames(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (frames(b'{"blob":"../x"}'), "is not one"),
        (frames(b'{"blob":"/etc/x"}'), "is not one"),
        (frames(b'{"blob":"a/.b"}'), "is not one"),
        (frames(b'{"blob":"a\\u0000"}'), "is not one"),
        (frames(b"{}"), "cannot be read"),
        (b"\xff\xff\xff\xff", "frame of 4294967295 bytes"),
        (b"\0\0", "ends within a blob"),
        (frames(b'{"blob":"a"}') + b"\0\0\0\x09abc", "ends within a blob"),
        (frames(b'{"blob":"a"}', b"bytes"), "cannot be read"),
        (frames(b'{"blob":"a"}', b"x", b"", b'{"size":1,"sha256":"no"}'), "is not what was written"),
        (
            frames(
                b'{"blob":"b"}',
                b"",
                msgspec.json.encode({"size": 0, "sha256": __import__("hashlib").sha256().hexdigest()}),
            )
            + frames(b'{"blob":"a"}'),
            "comes twice or out of order",
        ),
    ],
)
async def test_blobs_that_cannot_be_are_refused(good: bytes, path: Path, body: bytes, said: str) -> None:
    """A forged blob cannot lead out of its place, be longer than it is, or come twice."""
    path.write_bytes(pack(seal({**unpack(good), "blobs.bin": body})))
    with pytest.raises((InvalidInput, CorruptState), match=said):
        await verify_backup(path)


async def test_runs_out_of_order_are_refused(good: bytes, path: Path) -> None:
    """A run that comes twice, however far apart, is found without remembering all of them."""
    members = unpack(good)
    first, rest = members["runs.jsonl"].split(b'{"kind":"export.run","run":"run-0001"', 1)
    await refuse(
        path,
        pack(seal({**members, "runs.jsonl": first + first + b'{"kind":"export.run","run":"run-0001"' + rest})),
        said="comes twice or out of order",
    )


async def test_counts_that_lie_are_found(good: bytes, path: Path) -> None:
    """A manifest that says another number of values is not that backup's."""
    members = unpack(good)
    manifest = msgspec.json.decode(members["manifest.json"])
    manifest["members"][1]["count"] += 1
    data = pack({**members, "manifest.json": msgspec.json.encode(manifest)})
    await refuse(path, data, said="values.jsonl was changed", kind=CorruptState)


@given(st.binary(max_size=400))
def test_no_bytes_at_all_are_a_crash(data: bytes) -> None:
    """Any bytes are refused with one of our errors."""
    with pytest.raises(QuorateError):
        backup_format.open_members(io.BytesIO(data), where="a file")


@given(st.binary(max_size=200), st.sampled_from([b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 16 + b"\0\0"]))
def test_no_table_is_a_crash(data: bytes, end: bytes) -> None:
    """An archive's end with any table before it is refused with one of our errors."""
    with pytest.raises(QuorateError):
        backup_format.open_members(io.BytesIO(data + end), where="a file")
