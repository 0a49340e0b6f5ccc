"""Who hears a subject?"""

from __future__ import annotations

from msgspec import Struct

from quorate.bus.mailbox import Mailbox
from quorate.bus.subjects import is_match
from quorate.ports.bus import Message

MAX_CACHED = 4096
"""For how many subjects it is remembered who hears them."""


class Group:
    """Those who listen together: each message is for one of them, in turn."""

    __slots__ = ("_next", "members")

    def __init__(self) -> None:
        self.members: list[Mailbox] = []
        self._next = 0

    def put(self, message: Message) -> Mailbox:
        """Give a message to the next member, and return which that was."""
        self._next += 1
        mailbox = self.members[self._next % len(self.members)]
        mailbox.put(message)
        return mailbox


class Receivers(Struct, frozen=True, gc=False):
    """Who hears one subject."""

    alone: tuple[Mailbox, ...]
    groups: tuple[Group, ...]


class Routes:
    """The subscriptions of one account."""

    def __init__(self) -> None:
        self._alone: dict[str, list[Mailbox]] = {}
        self._groups: dict[tuple[str, str], Group] = {}
        self._cached: dict[str, Receivers] = {}

    def add(self, mailbox: Mailbox, *, group: str | None) -> None:
        """Let a mailbox hear its pattern."""
        self._cached.clear()
        if group is None:
            self._alone.setdefault(mailbox.pattern, []).append(mailbox)
        else:
            self._groups.setdefault((mailbox.pattern, group), Group()).members.append(mailbox)

    def remove(self, mailbox: Mailbox, *, group: str | None) -> None:
        """Let a mailbox hear nothing more."""
        self._cached.clear()
        place = (mailbox.pattern, group) if group is not None else None
        members = self._groups[place].members if place in self._groups else self._alone.get(mailbox.pattern, [])
        if mailbox in members:
            members.remove(mailbox)
        if not members:
            if place is not None:
                self._groups.pop(place, None)
            else:
                self._alone.pop(mailbox.pattern, None)

    def find(self, subject: str) -> Receivers:
        """Find who hears a subject."""
        found = self._cached.get(subject)
        if found is None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            alone = [box for pattern, boxes in self._alone.items() if is_match(pattern, subject) for box in boxes]
            groups = [group for (pattern, _), group in self._groups.items() if is_match(pattern, subject)]
            found = self._cached[subject] = Receivers(tuple(alone), tuple(groups))
        return found
