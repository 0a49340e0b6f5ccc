"""Who asks, for whom, and what may they do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import Struct

from quorate.errors import Forbidden, InvalidInput
from quorate.ids import check_id

Role = Literal["viewer", "operator", "admin"]
"""`viewer` reads; `operator` also works with runs and what belongs to them; `admin` also gives out rights."""
Verb = Literal["read", "write", "admin"]
Area = Literal[
    "agents", "approvals", "artifacts", "audit", "costs", "events", "feedback", "keys", "models", "quotas", "runs",
    "schedules", "sessions", "state", "tenants", "tools", "webhooks",
]  # fmt: skip
"""What there is to have rights to."""

VERBS: dict[Role, frozenset[Verb]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
AREAS: tuple[Area, ...] = get_args(Area)
ANY = "*"


class Need(Struct, frozen=True):
    """What one must be allowed to do for something, such as `runs:write`."""

    area: Area
    verb: Verb
    platform: bool = False
    """Whether it is about all tenants: then an admin key of the operator's own tenant is needed."""

    def __str__(self) -> str:
        return f"{self.area}:{self.verb}{' of the platform' if self.platform else ''}"


class Identity(Struct, frozen=True, kw_only=True):
    """Who asks, as a credential says it: never a header, a body or a message."""

    tenant: str
    principal: str
    role: Role
    scopes: tuple[str, ...] = ()
    """To what its rights are narrowed, such as `runs:*` and `*:read`; empty for all that its role may."""
    credential: str = ""
    """The id of the key or token, for limits and the audit trail."""
    expires: float | None = None
    """Wall time from which on it is nobody."""
    project: str = ""
    """The project that its key is of; empty where it is of none."""
    platform: bool = False
    """Whether it may also do what is about all tenants."""

    @property
    def payer(self) -> str:
        """Whose quotas below the tenant's its work counts in, as `project/key`."""
        return f"{self.project}/{self.credential}" if self.project or self.credential else ""

    def may(self, need: Need) -> bool:
        """Whether it may do something in its own tenant."""
        if need.verb not in VERBS[self.role] or (need.platform and not self.platform):
            return False
        return not self.scopes or any(_covers(scope, need) for scope in self.scopes)

    def check(self, need: Need) -> None:
        """Return if it may do something in its own tenant.

        Raises:
            Forbidden: It may not; the message says what is missing.
        """
        if not self.may(need):
            raise Forbidden(
                f"This needs `{need}`, which {self.principal!r} with the role {self.role!r} does not have: use a key "
                "whose role and scopes cover it.",
                need=str(need),
            )


def check_role(role: str) -> Role:
    """Return a role if it is one.

    Raises:
        InvalidInput: It is not.
    """
    for known in VERBS:
        if role == known:
            return known
    raise InvalidInput(f"role {role[:80]!r} is none: use {', '.join(f'`{known}`' for known in VERBS)}.")


def check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return scopes in order if all of them are some; all faults are told at once.

    Raises:
        InvalidInput: One is not `area:verb`, either of which may be `*`.
    """
    faults: list[str] = []
    for scope in scopes:
        area, colon, verb = scope.partition(":")
        if not colon or area not in (*AREAS, ANY) or verb not in (*VERBS["admin"], ANY):
            faults.append(repr(scope[:80]))
    if faults:
        raise InvalidInput(
            f"{', '.join(faults)} is no scope: use `area:verb` such as `runs:read`, where `*` stands for any. Areas: "
            f"{', '.join(AREAS)}. Verbs: read, write, admin."
        )
    return tuple(sorted(set(scopes)))


def check_principal(principal: str) -> str:
    """Return a principal's name if it is one.

    Raises:
        InvalidInput: It is not an id.
    """
    return check_id(principal, "principal")


def _covers(scope: str, need: Need) -> bool:
    area, _, verb = scope.partition(":")
    return area in (ANY, need.area) and verb in (ANY, need.verb)
