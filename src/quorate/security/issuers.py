"""Which identity providers are believed, and what do their tokens say here?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from quorate.addresses import is_loopback_name
from quorate.errors import InvalidInput
from quorate.ids import PATTERN
from quorate.security.identity import Role

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""What may be signed with: never a shared secret, never nothing."""


class Issuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity provider whose tokens are believed, and what they say here."""

    issuer: str
    """What `iss` must be, to the letter."""
    audience: str
    """What must be in `aud`: a token for somebody else is none for us."""
    jwks_url: str = ""
    """Where its keys are (RFC 7517); without one, where its own description says (OpenID Connect Discovery 1.0)."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    """What its tokens may be signed with."""
    tenant: str = ""
    """The tenant of all its people; from `tenant_claim` when empty."""
    tenant_claim: str = "tenant"
    """The claim with the tenant."""
    tenants: tuple[str, ...] = ()
    """Which tenants it may name in that claim; any, when there are none."""
    principal_claim: str = "sub"
    """The claim with the person's name."""
    role_claim: str = "roles"
    """The claim with one name or several of the provider's roles or groups."""
    roles: dict[str, Role] = {}
    """What each of these names is here; the highest one counts."""
    default_role: Role | None = None
    """The role of whoever has none of these; without one, they are not let in."""
    scope_claim: str = ""
    """The claim that narrows what a token may, if there is one."""


def is_safe_place(url: str) -> bool:
    """Whether what is read there cannot be changed on its way: over https, or from this very machine."""
    try:
        place = urlsplit(url)
        host, _ = place.hostname or "", place.port
    except ValueError:
        return False
    return bool(host) and (place.scheme == "https" or (place.scheme == "http" and is_loopback_name(host)))


def check_issuers(issuers: Sequence[Issuer]) -> None:
    """Return if the settings of issuers hold together.

    Raises:
        InvalidInput: They do not; all faults are told at once.
    """
    faults: list[str] = []
    for issuer in issuers:
        said = f"issuer {issuer.issuer[:200]!r}"
        faults += [f"{said} allows {one!r}, not one of {', '.join(ALGORITHMS)}" for one in issuer.algorithms
                   if one not in ALGORITHMS]  # fmt: skip
        faults += [f"{said} has no {name}" for name in ("issuer", "audience", "algorithms", "principal_claim")
                   if not getattr(issuer, name)]  # fmt: skip
        if not is_safe_place(issuer.jwks_url or issuer.issuer):
            what = "its keys at" if issuer.jwks_url else "no `jwks_url` and its description at"
            faults.append(f"{said} has {what} {(issuer.jwks_url or issuer.issuer)[:200]!r}: it must come over https")
        faults += [f"{said} has the tenant {one[:80]!r}, which is no id" for one in (issuer.tenant, *issuer.tenants)
                   if one and PATTERN.fullmatch(one) is None]  # fmt: skip
        if not issuer.tenant and not issuer.tenant_claim:
            faults.append(f"{said} says of nobody whose they are: set `tenant` or `tenant_claim`")
        if not issuer.roles and issuer.default_role is None:
            faults.append(f"{said} gives nobody a role: set `roles` or `default_role`")
    counts = Counter(issuer.issuer for issuer in issuers)
    faults += [f"issuer {name[:200]!r} comes twice" for name, count in sorted(counts.items()) if count > 1]
    if faults:
        raise InvalidInput(f"{len(faults)} faults: {'; '.join(faults)}.", faults=tuple(faults))
