"""Where do rows of the audit trail stand in a store, and how is the end of the chain found?

```
audit/<tenant>/<seq of the first row, 16 digits>   up to 256 rows, one line each: those that were made at the same time
audit/<tenant>/head                                 where the chain ended when it was last noted: a hint
```

A block is written once and only where nothing is, so that of several processes one wins each place.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec
from msgspec import Struct, structs

from quorate.errors import CorruptState
from quorate.ids import check_id
from quorate.ports import Entry, KeyValue
from quorate.state.audit.row import AuditRow, Revealing, decode_row, encode_row, hash_line, seal

ROOM = "audit/"
MAX_ROWS = 256
"""How many rows a block has at most; readers count on it."""
MAX_BLOCK_BYTES = 256 << 10
PAGE = 50
HEAD = "head"
_DIGITS = 16


class AuditHead(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Where a chain ends; note it elsewhere to know later that nothing was cut off or written anew."""

    seq: int
    hash: str
    keyed_from: int = 0
    """The first row that was made with a key; 0 when none was."""
    mac: str = ""
    """Over the rest, where there is a key."""

    def __str__(self) -> str:
        """Write it as `quorate audit verify --anchor` takes it."""
        return f"{self.seq}:{self.hash}"


def build_prefix(tenant: str) -> str:
    """Build what the keys of a tenant's trail begin with."""
    return f"{ROOM}{check_id(tenant, 'tenant')}/"


def build_key(tenant: str, seq: int) -> str:
    """Build the key of the block whose first row has a number."""
    return f"{build_prefix(tenant)}{seq:0{_DIGITS}}"


def read_seq(key: str) -> int | None:
    """Read the number of a block's first row from its key; `None` for a key that is no block's."""
    digits = key.rpartition("/")[2]
    return int(digits) if len(digits) == _DIGITS and digits.isascii() and digits.isdigit() else None


def build_block(
    drafts: Sequence[AuditRow], *, seq: int, previous: str, key: Revealing | None
) -> tuple[list[AuditRow], bytes]:
    """Give rows their places behind `seq`, as many as fit into one block; return them and the block."""
    rows, lines, size = list[AuditRow](), list[bytes](), 0
    for draft in drafts[:MAX_ROWS]:
        row = seal(draft, seq=seq + 1, previous=previous, key=key)
        line = encode_row(row)
        size += len(line) + 1
        if rows and size > MAX_BLOCK_BYTES:
            break
        rows.append(row)
        lines.append(line)
        seq, previous = row.seq, row.hash
    return rows, b"\n".join(lines)


def read_block(entry: Entry) -> list[AuditRow]:
    """Read the rows of a block.

    Raises:
        CorruptState: One cannot be read; what it says is not checked here.
    """
    return [decode_row(line, where=f"{entry.key!r}, line {n}") for n, line in enumerate(entry.value.split(b"\n"), 1)]


def seal_head(head: AuditHead, key: Revealing | None) -> AuditHead:
    """Seal a head with a key, if there is one."""
    plain = structs.replace(head, mac="")
    return plain if key is None else structs.replace(plain, mac=hash_line(msgspec.json.encode(plain), key))


def read_head(value: bytes) -> AuditHead:
    """Read a head.

    Raises:
        CorruptState: It cannot be read.
    """
    try:
        head = msgspec.json.decode(value, type=AuditHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(
            f"The head of the audit trail does not verify: {error}. See `quorate audit verify`."
        ) from error
    if msgspec.json.encode(head) != value:
        raise CorruptState("The head of the audit trail is not written as heads are. See `quorate audit verify`.")
    return head


async def scan_blocks(values: KeyValue, tenant: str, *, after: int = 0) -> AsyncGenerator[Entry]:
    """Yield the blocks whose first row has a number greater than `after`, and whatever else stands there, in order.

    Raises:
        CorruptState: The store finds that it was changed; all before it were yielded.
    """
    place, limit = build_key(tenant, after) if after else "", PAGE
    while True:
        try:
            entries = await values.scan(build_prefix(tenant), after=place, limit=limit)
        except CorruptState:
            if limit == 1:
                raise
            limit = 1  # one by one, to come as far as it goes
            continue
        for entry in entries:
            yield entry
        if len(entries) < limit:
            return
        place = entries[-1].key


async def find_end(values: KeyValue, tenant: str, *, begin: AuditHead) -> AuditHead:
    """Walk from a place in the chain to its end.

    Raises:
        CorruptState: A block cannot be read: nothing can follow it.
    """
    async for entry in scan_blocks(values, tenant, after=begin.seq):
        if read_seq(entry.key) is None:
            continue
        last = read_block(entry)[-1]
        begin = structs.replace(begin, seq=last.seq, hash=last.hash)
    return begin
