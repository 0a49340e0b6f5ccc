"""Is an audit trail what was written, and if not, which row is the first that is not?"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from msgspec import Struct

from quorate.errors import CorruptState
from quorate.state.audit.chain import HEAD, AuditHead, read_head, read_seq, seal_head
from quorate.state.audit.row import AuditRow, Revealing, compute_hash, decode_row, is_keyed

FaultKind = Literal["changed", "missing", "reordered", "truncated", "forged"]
"""What is wrong with a row: its text was changed, it is gone, it stands elsewhere, the end is gone, or it was written
anew by somebody who could compute a hash but not all that hangs on it."""

_REMEMBERED = 4096
"""Of how many of the last rows the hash is kept, to compare with what the head says."""


class AuditFault(Struct, frozen=True, kw_only=True, gc=False):
    """What is wrong with the first row that is not as it was written."""

    seq: int
    """Which row."""
    kind: FaultKind
    key: str
    """Under which key it stands, or should."""
    message: str


class AuditReport(Struct, frozen=True, kw_only=True, gc=False):
    """What came of looking at a whole trail."""

    tenant: str
    rows: int
    """How many rows verify, from the first on."""
    fault: AuditFault | None = None
    unchecked: int = 0
    """How many rows were made with a key that was not given: only their order was looked at."""
    head: AuditHead | None = None
    """Where the part that verifies ends: note it elsewhere, and give it as an anchor next time."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None


class ChainCheck:
    """Looks at the entries of one tenant's trail in the order of their keys."""

    def __init__(self, tenant: str, *, key: Revealing | None = None, anchor: AuditHead | None = None) -> None:
        self.tenant = tenant
        self.rows = 0
        self.fault: AuditFault | None = None
        self._key = key
        self._anchor = anchor
        self._hash = ""
        self._first_keyed = 0
        self._unchecked = 0
        self._recent: OrderedDict[int, str] = OrderedDict()
        self._last_key = f"audit/{tenant}/"
        self._head: AuditHead | None = None
        self._saw_head = False

    def feed(self, key: str, value: bytes) -> AuditFault | None:
        """Look at what stands under the next key; return what is wrong, if anything is."""
        if self.fault is not None:
            return self.fault
        if key.rpartition("/")[2] == HEAD:
            self._feed_head(key, value)
        else:
            self._feed_block(key, value)
            self._last_key = key
        return self.fault

    def refuse(self, key: str, message: str) -> None:
        """Take in that the store itself finds that what stands under a key was changed."""
        if self.fault is None:
            self._fail(self.rows + 1, "changed", message, key=key)

    def finish(self, head: bytes | None = None) -> AuditReport:
        """Look at the end, and say what came of it.

        Args:
            head: What was stored as the head before the rows were read, where rows may have been added meanwhile.
        """
        if head is not None and self.fault is None:
            self._feed_head(f"audit/{self.tenant}/{HEAD}", head)
        if self.fault is None:
            self._check_end()
        return AuditReport(
            tenant=self.tenant,
            rows=self.rows,
            fault=self.fault,
            unchecked=self._unchecked,
            head=AuditHead(seq=self.rows, hash=self._hash, keyed_from=self._first_keyed),
        )

    def _fail(self, seq: int, kind: FaultKind, message: str, *, key: str = "") -> None:
        self.fault = AuditFault(seq=seq, kind=kind, key=key or self._last_key, message=message)

    def _feed_block(self, key: str, value: bytes) -> None:
        first, expected = read_seq(key), self.rows + 1
        if first is None:
            self._fail(expected, "forged", f"{key!r} is no key of an audit row: something was put there.", key=key)
            return
        rows: list[AuditRow] = []
        for line in value.split(b"\n"):
            try:
                rows.append(decode_row(line, where=f"row {expected + len(rows)}"))
            except CorruptState as error:
                # The rows before it may show an older fault.
                if self._take(rows, first=first, key=key):
                    self._fail(self.rows + 1, "changed", error.message, key=key)
                return
        self._take(rows, first=first, key=key)

    def _take(self, rows: list[AuditRow], *, first: int, key: str) -> bool:
        numbers = {row.seq for row in rows}
        for place, row in enumerate(rows):
            expected = self.rows + 1
            if row.seq != expected:
                # A whole block that was moved stands under the number that is due, and bears another one.
                moved = row.seq < expected or expected in numbers or (place == 0 and first == expected)
                self._fail(*_describe_gap(row.seq, expected, moved=moved), key=key)
                return False
            self._check_row(row, key)
            if self.fault is not None:
                return False
            self.rows, self._hash = row.seq, row.hash
            self._recent[row.seq] = row.hash
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
            self._check_anchor(row, key)
        return self.fault is None

    def _check_row(self, row: AuditRow, key: str) -> None:
        keyed = is_keyed(row.hash)
        if row.tenant != self.tenant:
            self._fail(row.seq, "forged", f"row {row.seq} is of another tenant.", key=key)
        elif self._first_keyed and not keyed:
            self._fail(row.seq, "forged", f"row {row.seq} was made without the key that the rows before have.", key=key)
        elif keyed and self._key is None:
            self._unchecked += 1
        elif compute_hash(row, self._key if keyed else None) != row.hash:
            self._fail(row.seq, "changed", f"row {row.seq} was changed: its hash is that of another text.", key=key)
        if self.fault is None and row.previous != self._hash:
            if row.seq == 1:
                self._fail(1, "forged", "row 1 follows a row that is not there.", key=key)
            else:
                other = f"row {self.rows} was written anew: it is not the one that row {row.seq} was written after."
                self._fail(self.rows, "forged", other)
        if keyed and not self._first_keyed:
            self._first_keyed = row.seq

    def _check_anchor(self, row: AuditRow, key: str) -> None:
        anchor = self._anchor
        if anchor is not None and anchor.seq == row.seq and anchor.hash != row.hash:
            self._fail(row.seq, "forged", f"row {row.seq} is not the one that was noted elsewhere.", key=key)

    def _feed_head(self, key: str, value: bytes) -> None:
        self._saw_head = True
        try:
            head = self._head = read_head(value)
        except CorruptState as error:
            self._fail(self.rows + 1, "changed", error.message, key=key)
            return
        if self._key is not None and head.mac != seal_head(head, self._key).mac:
            self._fail(head.seq, "forged", "the head of the trail was not made with this key.", key=key)

    def _check_end(self) -> None:
        head, anchor, last = self._head, self._anchor, self.rows
        if head is None and last:
            self._fail(last + 1, "truncated", "the head of the trail is gone, so nobody knows where it ended.")
        for known, where in ((head, "its head says"), (anchor, "was noted elsewhere")):
            if self.fault is not None or known is None:
                continue
            if known.seq > last:
                self._fail(last + 1, "truncated", f"the trail ends with row {last}; {where} {known.seq}.")
            elif self._recent.get(known.seq, known.hash) != known.hash:
                self._fail(known.seq, "forged", f"row {known.seq} was written anew: {where} another hash.")
        keyed_from = head.keyed_from if head is not None else 0
        if self.fault is None and keyed_from and keyed_from != self._first_keyed:
            self._fail(
                keyed_from, "forged", f"row {keyed_from} was the first that was made with a key, and is not now."
            )


def _describe_gap(found: int, expected: int, *, moved: bool) -> tuple[int, FaultKind, str]:
    if moved:
        return expected, "reordered", f"row {found} stands where row {expected} should."
    gone = f"row {expected} is" if found == expected + 1 else f"rows {expected} to {found - 1} are"
    return expected, "missing", f"{gone} missing: row {found} follows."
