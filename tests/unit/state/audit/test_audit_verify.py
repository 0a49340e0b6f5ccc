"""Is every change of a written trail found, and named by its row?"""

import asyncio
import hashlib
import hmac

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from quorate.ports import KeyValue
from quorate.security.secrets import Secret
from quorate.state.audit import AuditHead, AuditReport, AuditTrail
from quorate.state.audit.chain import read_head
from quorate.state.audit.row import compute_hash, decode_row, encode_row
from quorate.state.audit.verify import ChainCheck
from quorate.state.backends.memory import open_memory_store
from quorate.testing.clock import ManualClock

KEY = Secret("a-key-that-is-long-enough")
HEAD = "audit/acme/head"


async def write(values: KeyValue, rows: int, *, key: Secret | None = None) -> AuditTrail:
    """Write rows, some of them together in one block."""
    trail = AuditTrail(values, clock=ManualClock(), tenant="acme", key=key)
    while rows:
        together = min(rows, 3)
        async with asyncio.TaskGroup() as group:
            for number in range(together):
                group.create_task(
                    trail.append(
                        "run.cancel", principal="ada", object=f"run/{rows}-{number}", facts={"n": 1.5, "m": "é"}
                    )
                )
        rows -= together
    return trail


async def dump(rows: int, *, key: Secret | None = None) -> dict[str, bytes]:
    async with open_memory_store(clock=ManualClock()) as store:
        await write(store.values, rows, key=key)
        return {entry.key: entry.value for entry in await store.values.scan("audit/")}


def check(entries: dict[str, bytes], *, key: Secret | None = None, anchor: AuditHead | None = None) -> AuditReport:
    checked = ChainCheck("acme", key=key, anchor=anchor)
    for name in sorted(entries):
        checked.feed(name, entries[name])
    return checked.finish()


PLAIN = asyncio.run(dump(11))
SEALED = asyncio.run(dump(11, key=KEY))
ROWS = [key for key in sorted(PLAIN) if key != HEAD]


def find_row(entries: dict[str, bytes], key: str, place: int) -> int:
    """Which row a byte of a block belongs to; the newline belongs to the row behind it."""
    return int(key.rpartition("/")[2]) + entries[key][: place + 1].count(b"\n")


@given(st.sampled_from(ROWS), st.integers(0, 1 << 20), st.integers(1, 255), st.booleans())
def test_any_changed_byte_is_found_in_its_row(key: str, place: int, change: int, sealed: bool) -> None:
    """Whatever byte of whatever row is changed, verifying names that row."""
    entries = dict(SEALED if sealed else PLAIN)
    value = bytearray(entries[key])
    place %= len(value)
    row = find_row(entries, key, place)
    value[place] ^= change
    entries[key] = bytes(value)
    fault = check(entries, key=KEY if sealed else None).fault
    assert fault is not None
    assert fault.seq in ({row, row - 1} if value[place] == 10 or PLAIN[key][place : place + 1] == b"\n" else {row})
    assert fault.kind in ("changed", "forged", "reordered")


@given(st.sampled_from(ROWS), st.integers(0, 1 << 20), st.binary(max_size=8), st.integers(0, 40))
def test_any_cut_or_filled_in_piece_is_found(key: str, place: int, piece: bytes, length: int) -> None:
    """Bytes that are put in, taken out or exchanged anywhere are found."""
    entries = dict(PLAIN)
    value = entries[key]
    place %= len(value) + 1
    changed = value[:place] + piece + value[place + length :]
    if changed != value:
        assert check({**entries, key: changed}).fault is not None


@given(st.sampled_from([*ROWS, HEAD]))
def test_any_block_that_is_gone_is_found(key: str) -> None:
    """Deleting any block names its first row as missing, the last ones as cut off, and a head that is gone."""
    entries = {name: value for name, value in PLAIN.items() if name != key}
    fault = check(entries).fault
    assert fault is not None
    if key == HEAD:
        assert (fault.seq, fault.kind) == (12, "truncated")
    else:
        kind = "truncated" if key == ROWS[-1] else "missing"
        assert (fault.seq, fault.kind) == (int(key.rpartition("/")[2]), kind)


@given(st.permutations(ROWS))
def test_blocks_in_another_order_are_found(order: list[str]) -> None:
    """Exchanging what stands under the keys names the first row that stands elsewhere."""
    entries = {HEAD: PLAIN[HEAD], **{key: PLAIN[other] for key, other in zip(ROWS, order, strict=True)}}
    fault = check(entries).fault
    moved = next((key for key, other in zip(ROWS, order, strict=True) if key != other), None)
    if moved is None:
        assert fault is None
    else:
        assert fault is not None
        assert (fault.seq, fault.kind) == (int(moved.rpartition("/")[2]), "reordered")


def forge(entries: dict[str, bytes], seq: int, *, onward: bool) -> dict[str, bytes]:
    """Write a row anew with a right hash, as whoever can write to the store but has no key; perhaps all behind it."""
    forged, previous = dict(entries), ""
    for key in ROWS:
        lines = list[bytes]()
        for line in entries[key].split(b"\n"):
            row = decode_row(line, where="row")
            if row.seq == seq:
                row = msgspec.structs.replace(row, principal="mallory")
            if row.seq == seq or (onward and row.seq > seq):
                row = msgspec.structs.replace(row, previous=previous)
                row = msgspec.structs.replace(row, hash=compute_hash(row))
            previous = row.hash
            lines.append(encode_row(row))
        forged[key] = b"\n".join(lines)
    return forged


@given(st.integers(1, 10))
def test_a_row_with_a_right_hash_breaks_the_chain_behind_it(seq: int) -> None:
    """A row that was written anew is not the one that the next was written after."""
    fault = check(forge(PLAIN, seq, onward=False)).fault
    assert fault is not None
    assert (fault.seq, fault.kind) == (seq, "forged")
    assert f"row {seq + 1} was written after" in fault.message


@given(st.integers(1, 11))
def test_a_chain_that_was_written_anew_contradicts_its_head(seq: int) -> None:
    """Writing everything anew from some row on leaves the head, or what was noted elsewhere, to tell."""
    forged = forge(PLAIN, seq, onward=True)
    fault = check(forged).fault
    assert fault is not None
    assert (fault.seq, fault.kind) == (11, "forged")
    anchor = read_head(PLAIN[HEAD])
    last = decode_row(forged[ROWS[-1]].split(b"\n")[-1], where="row")
    forged[HEAD] = msgspec.json.encode(AuditHead(seq=11, hash=last.hash))
    assert check(forged).ok  # without a key, whoever may write everything can forge everything
    noted = check(forged, anchor=anchor).fault
    assert noted is not None
    assert "noted elsewhere" in noted.message


@given(st.integers(1, 11), st.booleans())
def test_a_key_cannot_be_done_without(seq: int, rewritten: bool) -> None:
    """Rows of a trail with a key cannot be replaced by rows without one, from the first on either."""
    forged = forge(SEALED, seq, onward=rewritten)
    fault = check(forged, key=KEY).fault
    assert fault is not None
    assert fault.kind in ("forged", "changed")
    assert check(forged).fault is not None or seq == 1


def test_without_the_key_only_the_order_is_looked_at() -> None:
    """A report says how many rows it could not check."""
    report = check(SEALED)
    assert (report.ok, report.rows, report.unchecked) == (True, 11, 11)
    assert check(SEALED, key=Secret("another-key-of-some-length")).fault is not None
    assert check(SEALED, key=KEY).unchecked == 0


def test_what_is_cut_off_behind_the_head_is_found_by_an_anchor() -> None:
    """Whoever also sets the head back is found out by what was noted elsewhere."""
    entries = {key: value for key, value in PLAIN.items() if key not in ROWS[-2:]}
    last = decode_row(entries[ROWS[-3]].split(b"\n")[-1], where="row")
    entries[HEAD] = msgspec.json.encode(AuditHead(seq=last.seq, hash=last.hash))
    assert check(entries).ok
    fault = check(entries, anchor=read_head(PLAIN[HEAD])).fault
    assert fault is not None
    assert (fault.seq, fault.kind) == (last.seq + 1, "truncated")


def test_a_foreign_key_in_the_trail_is_found() -> None:
    """Something that is no row among the rows is named."""
    fault = check({**PLAIN, "audit/acme/000note": b"hello"}).fault
    assert fault is not None
    assert fault.key == "audit/acme/000note"


def test_the_documented_recipe_is_the_one_that_is_used() -> None:
    """A row's hash is SHA-256, or HMAC with the key, over its line with an empty hash."""
    for entries, key in ((PLAIN, None), (SEALED, KEY)):
        line = entries[ROWS[0]].split(b"\n")[0]
        hashed = msgspec.json.decode(line)["hash"]
        bare = line.replace(hashed.encode(), b"")
        if key is None:
            assert hashed == "sha256:" + hashlib.sha256(bare).hexdigest()
        else:
            digest = hmac.new(key.reveal().encode(), bare, "sha256").hexdigest()
            assert hashed == "hmac-sha256:" + digest


async def test_rows_may_be_added_while_it_is_verified() -> None:
    """Verifying a trail that grows meanwhile finds nothing wrong."""
    async with open_memory_store(clock=ManualClock()) as store:
        trail = await write(store.values, 200)
        seen = list[tuple[int, int]]()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(trail.verify(progress=lambda done, total: seen.append((done, total))))
            for _ in range(30):
                await trail.append("a.b", principal="p", object="o")
        assert task.result().ok
        assert seen[0][1] >= 200
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
