"""What do all stores refuse, and when do they count an owner as alive?"""

from __future__ import annotations

import re

from quorate.errors import Conflict, InvalidInput, TooLarge
from quorate.ports import Lease

MAX_KEY_BYTES = 512
MAX_VALUE_BYTES = 1 << 20
MAX_CHUNK = 1 << 20
"""The most bytes of a blob that are handed on at once."""

_BLOB_NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*)*", re.ASCII)


def check_text(text: str, what: str) -> str:
    """Return text that can be kept, or raise `InvalidInput`."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} {text!r} is not UTF-8: {error.reason}.") from error
    return text


def check_key(key: str) -> str:
    """Return the key of a value, or raise `InvalidInput` when it cannot be one."""
    size = len(check_text(key, "key").encode())
    if not 1 <= size <= MAX_KEY_BYTES or "\0" in key:
        raise InvalidInput(f"key {key[:80]!r} has {size} bytes; a key is 1 to {MAX_KEY_BYTES} bytes without NUL.")
    return key


def check_value(key: str, value: bytes) -> bytes:
    """Return a value, or raise `TooLarge` when it is over its size."""
    if len(value) > MAX_VALUE_BYTES:
        raise TooLarge(
            f"the value of key {key!r} has {len(value)} bytes; at most {MAX_VALUE_BYTES} are kept. "
            "Save it as an artifact and keep the handle.",
            key=key,
        )
    return value


def check_blob_name(name: str) -> str:
    """Return the name of a blob, or raise `InvalidInput` when it cannot be one; no name leads out of its place."""
    if len(name) > 255 or _BLOB_NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"blob name {name[:80]!r} is not one: use 1 to 255 of `a-z`, `0-9`, `-`, `_`, `.` and `/`, "
            "no part empty or beginning with a dot."
        )
    return name


def check_count(value: int, name: str) -> None:
    """Raise `InvalidInput` when something that counts is less than nothing."""
    if value < 0:
        raise InvalidInput(f"`{name}` is {value!r}; it counts what is read, so it is 0 or more.")


def find_end(prefix: str) -> str | None:
    """Return the first text that sorts behind all that begins with `prefix`; `None` when nothing does."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    # The code points of surrogates are no characters.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def build_run_conflict(run: str, last: int, expected: int) -> Conflict:
    """Build the error for an append whose run is elsewhere."""
    return Conflict(f"run {run!r} has {last} events, not {expected}: somebody else wrote first.", run=run, last=last)


def build_key_conflict(key: str, revision: int, expected: int) -> Conflict:
    """Build the error for a change of a value that is at another revision."""
    return Conflict(
        f"key {key!r} has revision {revision}, not {expected}: somebody else wrote first.", key=key, revision=revision
    )


def build_page_conflict(run: str) -> Conflict:
    """Build the error for a page that is to begin behind a run that is gone."""
    return Conflict(f"The page before ended with run {run!r}, which is gone: list from the beginning.", run=run)


def is_living(lease: Lease, *, now: float, ttl_s: float) -> bool:
    """Whether an owner counts as alive; a lease from before the clock was set back does not."""
    return now <= lease.expires <= now + ttl_s


def can_judge(lease: Lease, *, now: float, ttl_s: float) -> bool:
    """Whether an owner has been alive for so long that it may declare others dead."""
    return lease.since + ttl_s <= now and is_living(lease, now=now, ttl_s=ttl_s)
