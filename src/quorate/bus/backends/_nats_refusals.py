"""What does a NATS server not let us do, and who is told of it?"""

from __future__ import annotations

import re
from typing import Protocol

from quorate.errors import Forbidden, QuorateError, Unauthenticated, Unavailable

PUBLISH = "publish"
SUBSCRIPTION = "subscription"
"""What a server may not let us do, in its own words."""
_LOCKOUTS = ("authorization violation", "authentication expired", "authentication revoked")
_REFUSAL = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"")


class Watcher(Protocol):
    """Hears what becomes of a connection."""

    def lose(self) -> None:
        """Hear that it was lost, and that another one is looked for."""
        ...

    def reset(self) -> None:
        """Hear that there is one again."""
        ...

    def refuse(self, what: str, subject: str) -> None:
        """Hear that the server does not let us publish or listen somewhere."""
        ...

    def fail(self, error: QuorateError) -> None:
        """Hear that it ended for good, though we did not end it."""
        ...


def read_refusal(words: str) -> tuple[str, str] | None:
    """Read what a server does not let us do, and at which subject, in small letters; else `None`."""
    found = _REFUSAL.search(words.lower())
    return None if found is None else (found[1], found[2])


def build_refusal(what: str, *subjects: str) -> Forbidden:
    """Build what is raised where a server does not let us publish or listen."""
    verb = "publish" if what == PUBLISH else "listen"
    return Forbidden(
        f"NATS does not let us {verb} to {', '.join(map(repr, subjects[:5]))}: check the permissions of our login, and "
        "whether it was made for our tenant and principal.",
        subjects=subjects,
    )


def is_lockout(words: str) -> bool:
    """Whether a server says that it does not let us in."""
    words = words.lower()
    return any(said in words for said in _LOCKOUTS)  # to be slow at it is another thing


def explain_end(words: str, *, is_locked_out: bool) -> QuorateError:
    """Explain why there is no connection any more, and none will be made."""
    if is_locked_out:
        return Unauthenticated(
            "NATS lets us in no more: our key was retired or has ended. Get the new one, and start again with it."
        )
    return Unavailable(f"the connection to NATS is closed: {words or 'no server could be reached again'}.")
