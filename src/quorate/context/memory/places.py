"""Under which keys are memories kept, so that nobody can ask for another's?

A key is `place/owner/space/kind/memory/principal/agent`, behind the tenant's own prefix. Every part is an id of one
grammar, or several with dots between: what belongs to somebody else cannot be written down by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

from msgspec import Struct

from quorate.context.memory.kinds import KINDS, Kind
from quorate.errors import InvalidInput
from quorate.ids import PATTERN, check_id

Place = Literal["hive", "own", "run", "session"]
"""Whose a memory is: everybody's in the tenant, a contributor's, or of those who work in a run or session."""
PLACES: tuple[Place, ...] = get_args(Place)
Visibility = Literal["private", "shared"]
"""Who finds it: whoever said it, or everybody in the hive (of a working memory: in the run or session)."""
EVERYBODY = "all"
PARTS = 7


class Member(Struct, frozen=True, kw_only=True):
    """Who remembers and recalls; built from a run's own facts.

    Raises:
        InvalidInput: One of its ids is none.
    """

    principal: str
    agent: str
    run: str = ""
    session: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could leave its part of a key."""
        check_id(self.principal, "principal")
        check_id(self.agent, "agent")
        if self.run:
            check_id(self.run, "run")
        if self.session is not None:
            check_id(self.session, "session")


class Shelf(Struct, frozen=True, kw_only=True):
    """Where memories of one kind stand that the same members may reach; caps hold for each shelf."""

    place: Place
    owner: str
    space: str
    kind: Kind

    @property
    def prefix(self) -> str:
        """What the keys on it begin with."""
        return f"{self.place}/{self.owner}/{self.space}/{self.kind}/"


class Spot(Struct, frozen=True, kw_only=True):
    """What a key says of the note below it."""

    shelf: Shelf
    id: str
    principal: str
    agent: str

    @property
    def key(self) -> str:
        """The key itself."""
        return f"{self.shelf.prefix}{self.id}/{self.principal}/{self.agent}"


def find_shelf(member: Member, *, kind: Kind, space: str, visibility: Visibility) -> Shelf:
    """Find where a member keeps a memory.

    Raises:
        InvalidInput: The space is no id, or a working memory has no run to belong to.
    """
    check_id(space, "space")
    me = f"{member.principal}.{member.agent}"
    if kind != "working":
        if visibility == "shared":
            return Shelf(place="hive", owner=EVERYBODY, space=space, kind=kind)
        return Shelf(place="own", owner=me, space=space, kind=kind)
    place, owner = ("session", member.session) if member.session is not None else ("run", member.run)
    if not owner:
        raise InvalidInput("A working memory belongs to a run or a session, and there is none: use another kind.")
    whose = owner if visibility == "shared" else f"{owner}.{me}"
    return Shelf(place=cast("Place", place), owner=whose, space=space, kind=kind)


def list_shelves(member: Member, *, kinds: Sequence[Kind], space: str) -> list[Shelf]:
    """List the shelves a member may read, its own before the hive's; what the hive agreed has one shelf alone."""
    found: list[Shelf] = []
    for kind in dict.fromkeys(kinds):
        if kind == "working" and not (member.run or member.session):
            continue
        ways: tuple[Visibility, ...] = ("shared",) if kind == "collective" else ("private", "shared")
        found += [find_shelf(member, kind=kind, space=space, visibility=way) for way in ways]
    return found


def read_key(key: str) -> Spot | None:
    """Read a key back, or return `None` when it is none of ours."""
    parts = key.split("/")
    if len(parts) != PARTS:
        return None
    place, owner, space, kind, name, principal, agent = parts
    ids = (*owner.split("."), space, name, principal, agent)
    if place not in PLACES or kind not in KINDS or not all(PATTERN.fullmatch(one) for one in ids):
        return None
    shelf = Shelf(place=place, owner=owner, space=space, kind=kind)
    return Spot(shelf=shelf, id=name, principal=principal, agent=agent)
