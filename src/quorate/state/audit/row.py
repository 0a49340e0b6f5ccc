"""What does one row of the audit trail say, and how is it sealed?

A row is one line of JSON in the order of its fields, the facts by name, without spaces. Its hash is taken over that
very line with an empty `hash`, so that anybody can check it with a text editor and `sha256sum`; `previous` is the hash
of the row before, empty for the first. With a key it is an HMAC of the same line.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, structs

from quorate.errors import CorruptState, InvalidInput, mend_text
from quorate.state.leaks import HIDDEN, is_like_key, is_secret_under, is_typed_secret

Outcome = Literal["done", "refused"]
"""Whether an act was carried out, or refused."""
Fact = str | int | float | bool | None
"""What a row may say under a name."""

MAX_FACTS = 32
MAX_TEXT = 512
MAX_REASON = 1000
MIN_KEY = 16
_SAFE_INTEGER = 1 << 53
_ACTION = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*", re.ASCII)
_FACT = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
PLAIN, KEYED = "sha256:", "hmac-sha256:"


class Revealing(Protocol):
    """A secret that is shown to whoever needs it at the moment, such as `quorate.security.secrets.Secret`."""

    def reveal(self) -> str:
        """Return the value itself."""
        ...


class AuditRow(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """That somebody did something, or was refused."""

    seq: int
    """The place in the tenant's chain: 1, 2, 3 … without a gap."""
    time: float
    """Wall time in seconds since 1970 (UTC), to the microsecond."""
    tenant: str
    principal: str
    action: str
    """What was done, such as `run.cancel`."""
    object: str
    """What it was done to, such as `run/run-1`."""
    outcome: Outcome
    reason: str
    facts: dict[str, Fact]
    previous: str
    """The hash of the row before; empty for the first."""
    hash: str


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(AuditRow)


def build_draft(
    action: str,
    *,
    time: float,
    tenant: str,
    principal: str,
    object: str,
    outcome: Outcome,
    reason: str = "",
    facts: Mapping[str, object] | None = None,
    secrets: Sequence[Revealing] = (),
) -> AuditRow:
    """Build a row that has no place in the chain yet; what looks like a secret is hidden, what is too long is cut.

    Raises:
        InvalidInput: The action or a fact is not one.
    """
    if len(action) > 64 or _ACTION.fullmatch(action) is None:
        raise InvalidInput(
            f"audit action {action[:80]!r} is not one: write it like `run.cancel`, in at most 64 letters."
        )
    given = facts or {}
    if len(given) > MAX_FACTS:
        raise InvalidInput(f"an audit row of {action!r} has {len(given)} facts; at most {MAX_FACTS} are kept.")
    known = [secret.reveal() for secret in secrets]
    return AuditRow(
        seq=0,
        time=round(float(time), 6),
        tenant=tenant,
        principal=_keep_text(principal, known),
        action=action,
        object=_keep_text(object, known),
        outcome=outcome,
        reason=_keep_text(reason, known, most=MAX_REASON),
        facts={name: _keep_fact(action, name, given[name], known) for name in sorted(given)},
        previous="",
        hash="",
    )


def _keep_fact(action: str, name: str, value: object, known: Sequence[str]) -> Fact:
    if _FACT.fullmatch(name) is None:
        raise InvalidInput(
            f"audit fact {name[:80]!r} of {action!r} has a name that is none: use `a-z`, `0-9`, `_`, `.`."
        )
    if is_typed_secret(value):
        return HIDDEN
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return HIDDEN if is_secret_under(name, value) else _keep_text(value, known)
    if isinstance(value, int) and -_SAFE_INTEGER < value < _SAFE_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidInput(
        f"audit fact {name!r} of {action!r} is {type(value).__name__} or out of range: give text, a finite number "
        "below 2^53, true, false or nothing."
    )


def _keep_text(text: str, known: Sequence[str], *, most: int = MAX_TEXT) -> str:
    text = mend_text(text)
    if is_like_key(text):
        return HIDDEN
    for secret in known:
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    return text if len(text) <= most else text[: most - 1] + "…"


def check_key(key: Revealing | None) -> Revealing | None:
    """Return the key of a trail, or raise `InvalidInput` when it is too short to be one; it is never shown."""
    if key is not None and len(key.reveal()) < MIN_KEY:
        raise InvalidInput(f"the audit key is shorter than {MIN_KEY} characters: make one with `openssl rand -hex 32`.")
    return key


def seal(draft: AuditRow, *, seq: int, previous: str, key: Revealing | None = None) -> AuditRow:
    """Give a row its place in the chain."""
    placed = structs.replace(draft, seq=seq, previous=previous, hash="")
    return structs.replace(placed, hash=compute_hash(placed, key))


def compute_hash(row: AuditRow, key: Revealing | None = None) -> str:
    """Compute what a row's hash must be."""
    return hash_line(encode_row(structs.replace(row, hash="")), key)


def hash_line(line: bytes, key: Revealing | None) -> str:
    """Hash a line, with a key if there is one; the result says which."""
    if key is None:
        return PLAIN + hashlib.sha256(line).hexdigest()
    return KEYED + hmac.new(key.reveal().encode(), line, hashlib.sha256).hexdigest()


def is_keyed(hashed: str) -> bool:
    """Whether a hash was made with a key."""
    return hashed.startswith(KEYED)


def encode_row(row: AuditRow) -> bytes:
    """Write a row as its line, without the newline."""
    return _encoder.encode(row)


def decode_row(line: bytes, *, where: str) -> AuditRow:
    """Read a line.

    Raises:
        CorruptState: It is not a row, or not written as rows are.
    """
    try:
        row = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(f"{where} is not an audit row: {error}. See `quorate audit verify`.", where=where) from error
    if encode_row(row) != line:
        raise CorruptState(f"{where} is not written as audit rows are. See `quorate audit verify`.", where=where)
    return row
