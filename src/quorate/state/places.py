"""Whose is a stored value, and under which key is it kept?"""

from __future__ import annotations

import hashlib
import re
from typing import get_args
from urllib.parse import quote, unquote

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName
from quorate.ids import PATTERN, check_id
from quorate.ports import StateScope

MAX_NAME = 128
MAX_ID_BYTES = 240
ROOM = "state/"
NOBODY = "_"
"""Where a tenant or an id would stand and there is none; no tenant can be called so."""
LAYER = "~"
"""How the part of a key begins that belongs to one delegate; behind every character a name can begin with."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.:@-]*)*", re.ASCII)
_PREFIX = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.:@-]*/?)*", re.ASCII)
_SCOPES: tuple[StateScope, ...] = get_args(StateScope)


class ScopeRef(Struct, frozen=True, kw_only=True, gc=False):
    """Who shares some stored values: everybody, a tenant, or one user, session, agent, workflow or run of a tenant.

    Two of them share nothing, whatever their ids are.

    Raises:
        InvalidInput: It names nobody, or somebody who cannot be.
    """

    scope: StateScope
    tenant: str = ""
    """Whose it is; empty for `global` alone."""
    id: str = ""
    """Which user, session, agent, workflow or run; empty for `global` and `tenant`."""
    path: str = ""
    """Which delegate inside a run keeps values of its own; empty for the run itself."""

    def __post_init__(self) -> None:
        """Check that it names somebody."""
        if self.scope not in _SCOPES:
            raise UnknownName("scope", str(self.scope), _SCOPES)
        if self.scope == "global":
            if self.tenant:
                raise InvalidInput(f"scope `global` belongs to no tenant: leave out `tenant` ({self.tenant[:80]!r}).")
        else:
            check_id(self.tenant, "tenant")
        if (self.scope in ("global", "tenant")) == bool(self.id):
            wanted = "takes no id: leave it out" if self.id else "needs an id: say which one"
            raise InvalidInput(f"scope `{self.scope}` {wanted} (id {self.id[:80]!r}).")
        if self.path and self.scope != "run":
            raise InvalidInput(f"scope `{self.scope}` has no delegates: leave out `path` ({self.path[:80]!r}).")
        if self.id:
            _encode_id(self.id, self.scope)

    def describe(self) -> str:
        """Say whose it is, for messages: `session 's-1'`."""
        inside = f" below {self.path!r}" if self.path else ""
        return f"{self.scope} {self.id!r}{inside}" if self.id else f"scope `{self.scope}`"


def _encode_id(value: str, what: str) -> str:
    """Write any id as a part of a key: no two ids are written alike, and none can leave its part."""
    try:
        encoded = quote(value, safe="@:+")
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} id {value[:80]!r} is not UTF-8: {error.reason}.") from error
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise InvalidInput(f"{what} id {value[:80]!r} holds a control character: use visible ones.")
    if len(encoded) > MAX_ID_BYTES:
        raise InvalidInput(
            f"{what} id {value[:80]!r} takes {len(encoded)} bytes in a key and may take {MAX_ID_BYTES}: "
            "use a shorter one."
        )
    return encoded


def check_name(name: str) -> str:
    """Return the name of a value, or raise `InvalidInput` when it cannot be one.

    A name has parts between slashes (`cart/items`), and no part leads anywhere else.
    """
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"state name {name[:80]!r} is not one: use 1 to {MAX_NAME} of letters, digits, `_`, `.`, `:`, `@` and `-`, "
            "in parts between `/`, each beginning with a letter, a digit or `_`."
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return how some names begin, or raise `InvalidInput` when no name can begin so."""
    if len(prefix) > MAX_NAME or _PREFIX.fullmatch(prefix) is None:
        raise InvalidInput(f"no state name begins with {prefix[:80]!r}: give the beginning of a name, such as `cart/`.")
    return prefix


def build_prefix(ref: ScopeRef) -> str:
    """Build what the keys of all values of one owner begin with."""
    tenant, owner = ref.tenant or NOBODY, _encode_id(ref.id, ref.scope) if ref.id else NOBODY
    prefix = f"{ROOM}{tenant}/{ref.scope}/{owner}/"
    if ref.path:
        # A path is made of what providers call their calls: of any length, and of any characters.
        digest = hashlib.sha256(ref.path.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{prefix}{LAYER}{digest[:32]}/"
    return prefix


def build_key(ref: ScopeRef, name: str) -> str:
    """Build the key a value is kept under."""
    return build_prefix(ref) + check_name(name)


def build_scope_prefix(scope: StateScope, *, tenant: str) -> str:
    """Build what the keys of all owners of one kind begin with, in one tenant."""
    return f"{ROOM}{check_id(tenant, 'tenant')}/{scope}/"


class Place(Struct, frozen=True, kw_only=True, gc=False):
    """What a key says of the value below it."""

    scope: StateScope
    tenant: str
    id: str
    name: str
    is_layer: bool
    """Whether it is a delegate's own."""

    def describe(self) -> str:
        """Say whose which value is, for messages and reports."""
        owner = f" of {self.scope} {self.id!r}" if self.id else f" of scope `{self.scope}`"
        return f"{self.name!r}{owner}{' (of a delegate)' if self.is_layer else ''}"


def read_key(key: str) -> Place | None:
    """Read a key back, or return `None` when no value of ours is kept under such a one."""
    parts = key.split("/", 4)
    if len(parts) != 5 or parts[0] != ROOM[:-1]:
        return None
    _, tenant, scope, owner, name = parts
    is_layer = name.startswith(LAYER)
    if is_layer:
        name = name.partition("/")[2]
    if (
        scope not in _SCOPES
        or _NAME.fullmatch(name) is None
        or (tenant != NOBODY and PATTERN.fullmatch(tenant) is None)
    ):
        return None
    return Place(
        scope=scope,
        tenant="" if tenant == NOBODY else tenant,
        id="" if scope in ("global", "tenant") else unquote(owner),
        name=name,
        is_layer=is_layer,
    )


def build_submission_place(tenant: str, principal: str, key: str) -> str:
    """Build where it is kept which run an idempotency key stands for: nobody's key is anybody else's."""
    digest = hashlib.sha256(f"{principal}\0{key}".encode()).hexdigest()
    return f"submit/{tenant}/{digest}"


def build_decision_id(run: str, place: str) -> str:
    """Build the id of a decision that a run makes: ids sort by their runs', and tell whose they are.

    Args:
        run: The run.
        place: What tells it apart from others of the run.
    """
    return f"{_name_decisions(run)}{place}"


def build_decision_prefix(tenant: str, run: str) -> str:
    """Build what the keys of the entries begin with that a run's decisions have."""
    return f"decision/{tenant}/{_name_decisions(run)}"


def _name_decisions(run: str) -> str:
    """Name the decisions of a run: by the run's own id, or by its digest where that could be a part of another's."""
    plain = run.removeprefix("run-")
    if len(plain) != 32 or not plain.isalnum():
        plain = hashlib.sha256(run.encode()).hexdigest()[:32]
    return f"dec-{plain}-"
