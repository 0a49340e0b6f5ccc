"""What do PostgreSQL's complaints mean to its users, and which of them leave open whether something was written?"""

from __future__ import annotations

import re

from quorate.errors import (
    CorruptState,
    Forbidden,
    InvalidInput,
    QuorateError,
    StorageFull,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

DEADLOCK = ("40P01", "40001")
"""What goes away by doing the same again at once."""

LOCKED = "55P03"

_NOTHING = "Nothing was written"
_HOST = r"(?:\[[0-9a-fA-F:]+\]|[\w.-]+)(?::\d{1,5})?"
_ADDRESS = re.compile(rf"(?:{_HOST}(?:,{_HOST})*)?(?:/[\w.%-]*)?", re.ASCII)

_MEANINGS: dict[str, tuple[type[QuorateError], str]] = {
    "53100": (StorageFull, f"cannot grow. {_NOTHING}; free some space on the server and try again."),
    "53200": (Unavailable, f"is out of memory. {_NOTHING}; try again later."),
    "53300": (
        Unavailable,
        "takes no more connections; raise `max_connections` of the server or lower that of this store.",
    ),
    "57P03": (Unavailable, "is starting up or shutting down; try again in a moment."),
    "57014": (Unavailable, f"was too slow, and the statement was stopped. {_NOTHING}; look at its load and its disk."),
    LOCKED: (
        Unavailable,
        f"is locked by another session. {_NOTHING}; end it (`pg_stat_activity` names it), or try again later.",
    ),
    "40P01": (Unavailable, f"is busy with others who want the same rows. {_NOTHING}; try again."),
    "40001": (Unavailable, f"is busy with others who want the same rows. {_NOTHING}; try again."),
    "25006": (
        Unavailable,
        f"is read-only. {_NOTHING}; name the primary, or unset `default_transaction_read_only`.",
    ),
    "42501": (Forbidden, f"does not allow that to this user. {_NOTHING}; grant the user what is missing."),
    "28P01": (Unauthenticated, "refused the password; check user and password in the address."),
    "3D000": (InvalidInput, "does not exist; make it (`createdb`), or name another one."),
    "42P01": (Unavailable, "has lost tables of ours while it was open. Restore them from a backup and open it again."),
    "3F000": (Unavailable, "has lost its schema while it was open. Restore it from a backup and open it again."),
    "54000": (TooLarge, "cannot keep a value of that size."),
    "58P01": (CorruptState, f"is damaged. {_NOTHING}; restore it from a backup."),
    "XX001": (CorruptState, f"is damaged. {_NOTHING}; restore it from a backup."),
    "XX002": (CorruptState, f"has a damaged index. {_NOTHING}; `REINDEX` it, or restore it from a backup."),
    "23505": (CorruptState, f"holds rows where none may be. {_NOTHING}; restore it from a backup."),
}
"""By SQLSTATE: which error of ours it is, and what the message says after the database's name."""

_CLASSES: dict[str, tuple[type[QuorateError], str]] = {
    "22": (InvalidInput, "cannot keep or look up that value."),
    "28": (Unauthenticated, "does not let this user in; check the address and the server's `pg_hba.conf`."),
    "53": (Unavailable, f"has not enough resources. {_NOTHING}; try again later."),
}
"""By the first two characters of the SQLSTATE, where there is nothing more exact."""


def get_sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's code for an error, or nothing where it does not come from there."""
    return str(getattr(error, "sqlstate", None) or "")


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke, so that nobody knows what became of the statement under way."""
    code = get_sqlstate(error)
    return not code or code.startswith(("08", "57P01", "57P02", "57P05"))


def map_error(error: BaseException, name: str, *, is_sent: bool) -> QuorateError:
    """Build our error from one of the driver, with the database's name and a way out; the driver's is its cause.

    Args:
        error: What the driver raised.
        name: The database's name, which holds no password.
        is_sent: Whether a statement that changes something was on its way.
    """
    mapped = _build_error(error, name, is_sent=is_sent)
    mapped.__cause__ = error
    return mapped


def _build_error(error: BaseException, name: str, *, is_sent: bool) -> QuorateError:
    shown, code = f"database {name!r}", get_sqlstate(error)
    if is_lost(error) and code not in _MEANINGS:
        if is_sent:
            return Unavailable(
                f"{shown} was lost in the middle of a write ({_describe(error)}), which may be there or not: "
                "look before you try again.",
                name=name,
            )
        return Unavailable(
            f"{shown} cannot be reached ({_describe(error)}). Nothing was written; check that the server runs and "
            "that the address is right, and try again.",
            name=name,
        )
    kind, words = _MEANINGS.get(code) or _CLASSES.get(code[:2]) or (Unavailable, "failed. Look before you try again.")
    return kind(f"{shown} {words} PostgreSQL says: {_describe(error)}.", name=name, sqlstate=code)


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error).split("\n", 1)[0].rstrip(".") or type(error).__name__


def build_name(dsn: str) -> str:
    """Build a database's name for people from its address: host and database, without user and password.

    What stands before the last `@` is left out, so that an address with a badly written password shows none of it.
    """
    place = dsn.partition("://")[2].partition("?")[0].rpartition("@")[2]
    return f"postgresql://{place if _ADDRESS.fullmatch(place) else '(address not shown)'}"
