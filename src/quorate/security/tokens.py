"""How is somebody recognised by a token that an identity provider signed?"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Protocol, cast
from urllib.parse import urlsplit

import jwt
import msgspec
from jwt import PyJWK
from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, QuorateError, Unavailable
from quorate.ids import PATTERN, check_id
from quorate.security.identity import Identity, Role, check_scopes
from quorate.security.issuers import Issuer, check_issuers, is_safe_place
from quorate.security.keys import refuse

MAX_TOKEN = 8_192
"""How many characters a token may have."""
MAX_KEYS = 100
LEEWAY_S = 60.0
"""By how much clocks may differ (RFC 7519, section 4.1.4)."""
FRESH_S = 300.0
"""How long the provider's keys are used before they are asked for again."""
STALE_S = 570.0
"""How long they are used when the provider does not answer: one that it withdrew is refused within ten minutes."""
AGAIN_S = 30.0
"""How long is waited before they are asked for again, whatever tokens say about keys."""
TRUSTED_S = 5.0
"""How long a token is believed without checking it again."""
MAX_TRUSTED = 10_000
DIGEST = "user-"
"""How the names of those begin whose own name is no id; nobody's own name may."""

DESCRIPTION = "/.well-known/openid-configuration"
"""Where an issuer describes itself (OpenID Connect Discovery 1.0, section 4)."""


class Fetch(Protocol):
    """Gets a document, bounded in time and size."""

    async def __call__(self, url: str, /, *, is_named: bool) -> bytes:
        """Get it.

        Args:
            url: Where it is.
            is_named: Whether an operator named the place, which then may be in a network of their own.

        Raises:
            QuorateError: It cannot be had.
        """
        ...


class TokenVerifier:
    """Checks signed tokens (RFC 7519) by the keys that their issuers publish.

    The issuer that a token names only chooses which settings it is checked by; everything else about the check, the
    algorithm above all, is fixed by those settings (RFC 8725).

    Args:
        issuers: Who is believed.
        fetch: Gets the documents with their keys.
        clock: Where time comes from.

    Raises:
        InvalidInput: The settings of an issuer do not hold together; all faults are told at once.
    """

    def __init__(self, issuers: Sequence[Issuer], *, fetch: Fetch, clock: Clock = SYSTEM_CLOCK) -> None:
        check_issuers(issuers)
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, _Keys] = {issuer.issuer: _Keys() for issuer in issuers}
        self._trusted: dict[bytes, tuple[Identity, float]] = {}

    async def verify(self, token: str) -> Identity:
        """Find out who bears a token.

        Raises:
            Unauthenticated: It is none, or not one for us now; which is not said.
            Unavailable: The issuer's keys cannot be had: nobody is let in.
        """
        if len(token) > MAX_TOKEN or not token.isascii():
            raise refuse()
        # The whole token is the key: half of one must never stand for another.
        place, now = hashlib.sha256(token.encode()).digest(), self._clock.monotonic()
        known = self._trusted.get(place)
        if known is not None and now < known[1]:
            return self._check_time(known[0])
        try:
            identity = await self._verify(token)
        except (
            jwt.PyJWTError,
            msgspec.ValidationError,
            InvalidInput,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise refuse() from error
        if len(self._trusted) >= MAX_TRUSTED:
            del self._trusted[next(iter(self._trusted))]
        self._trusted[place] = (identity, now + TRUSTED_S)
        return identity

    def knows(self, token: str) -> bool:
        """Whether this very token let somebody in here a moment ago; nothing is looked at again."""
        known = self._trusted.get(hashlib.sha256(token.encode("utf-8", "replace")).digest())
        return known is not None and self._clock.monotonic() < known[1]

    def _check_time(self, identity: Identity) -> Identity:
        if identity.expires is not None and self._clock.now() >= identity.expires + LEEWAY_S:
            raise refuse()
        return identity

    async def _verify(self, token: str) -> Identity:
        header = jwt.get_unverified_header(token)
        named = jwt.decode(token, options={"verify_signature": False}).get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        algorithm = header.get("alg")
        if issuer is None or algorithm not in issuer.algorithms or "crit" in header:
            raise refuse()
        key = await self._find_key(issuer, header.get("kid"))
        if key is None or not _fits(key, str(algorithm)):
            raise refuse()
        claims = jwt.decode(
            token,
            key=key.key,
            algorithms=[str(algorithm)],
            audience=issuer.audience,
            issuer=issuer.issuer,
            # Time is checked below, by our own clock.
            options={"require": ["exp", "iat", "iss", "aud"], "verify_exp": False, "verify_iat": False,
                     "verify_nbf": False, "enforce_minimum_key_length": True},
        )  # fmt: skip
        self._check_times(claims)
        return self._check_time(_build_identity(issuer, claims))

    def _check_times(self, claims: Mapping[str, object]) -> None:
        now = self._clock.now()
        for name in ("iat", "nbf"):
            if _read_time(claims.get(name, 0)) > now + LEEWAY_S:
                raise refuse()
        _read_time(claims.get("exp"))

    async def _find_key(self, issuer: Issuer, name: object) -> PyJWK | None:
        """Find a key by its name; the issuer is asked again for one that is not known, but not by every such token."""
        if not isinstance(name, str):
            return None
        keys = self._keys[issuer.issuer]
        if keys.turn.locked() and self._clock.monotonic() < keys.usable_until and name in keys.by_name:
            return keys.by_name[name]  # somebody asks already, and an issuer that is slow holds up nobody who is known
        async with keys.turn:
            now = self._clock.monotonic()
            is_known = name in keys.by_name and now < keys.fresh_until
            if not is_known and now >= keys.again:
                keys.again = now + AGAIN_S
                try:
                    await self._renew(issuer, keys, now)
                except asyncio.CancelledError:  # nobody asked in the end: whoever comes next does
                    keys.again = now
                    raise
        if not keys.by_name or self._clock.monotonic() >= keys.usable_until:
            raise Unavailable(f"The keys of {issuer.issuer!r} could not be had; they are asked for again soon.")
        return keys.by_name.get(name)

    async def _renew(self, issuer: Issuer, keys: _Keys, now: float) -> None:
        try:
            keys.by_name = read_keys(await self._fetch_keys(issuer))
            keys.fresh_until, keys.usable_until = now + FRESH_S, now + STALE_S
        except (QuorateError, msgspec.DecodeError) as error:
            if now >= keys.usable_until:  # one that was withdrawn since must not work for ever
                keys.by_name = {}
                raise Unavailable(
                    f"The keys of {issuer.issuer!r} cannot be had: its tokens let nobody in until they can."
                ) from error

    async def _fetch_keys(self, issuer: Issuer) -> bytes:
        if issuer.jwks_url:
            return await self._fetch(issuer.jwks_url, is_named=True)
        place = f"{issuer.issuer.rstrip('/')}{DESCRIPTION}"
        said = msgspec.json.decode(await self._fetch(place, is_named=True), type=_Description)
        host = urlsplit(issuer.issuer).hostname
        if said.issuer != issuer.issuer or not is_safe_place(said.jwks_uri):
            raise InvalidInput(f"What {place!r} says is not the description of {issuer.issuer!r}.")
        # What somebody else named leads into no network of ours, unless it is where the operator sent us anyway.
        return await self._fetch(said.jwks_uri, is_named=urlsplit(said.jwks_uri).hostname == host)


class _Keys:
    """The keys of an issuer, as far as they are known."""

    __slots__ = ("again", "by_name", "fresh_until", "turn", "usable_until")

    def __init__(self) -> None:
        self.by_name: dict[str, PyJWK] = {}
        self.fresh_until = 0.0
        self.usable_until = 0.0
        self.again = 0.0
        self.turn = asyncio.Lock()


def read_keys(document: bytes) -> dict[str, PyJWK]:
    """Read the keys of an issuer by name; those that cannot sign for us are left out.

    Raises:
        DecodeError: It is no document of keys.
    """
    read = msgspec.json.decode(document, type=_Document)
    found: dict[str, PyJWK] = {}
    for raw in read.keys[:MAX_KEYS]:
        name = raw.get("kid")
        if not isinstance(name, str) or raw.get("kty") not in ("RSA", "EC", "OKP") or raw.get("use", "sig") != "sig":
            continue
        if "d" in raw:  # whoever publishes a private key has lost it
            continue
        try:
            found[name] = PyJWK(raw)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    return found


class _Description(Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Document(Struct, frozen=True):
    keys: tuple[dict[str, object], ...]


def _fits(key: PyJWK, algorithm: str) -> bool:
    """Whether a key is one for an algorithm, so that none is used as what it is not."""
    kinds = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
    named = key.algorithm_name
    return key.key_type == kinds.get(algorithm[:2]) and (named in (None, algorithm) or key.key_type == "RSA")


def _build_identity(issuer: Issuer, claims: Mapping[str, object]) -> Identity:
    tenant = issuer.tenant or claims.get(issuer.tenant_claim)
    principal = claims.get(issuer.principal_claim)
    if not isinstance(tenant, str) or not isinstance(principal, str) or not principal:
        raise refuse()
    if issuer.tenants and tenant not in issuer.tenants:
        raise refuse()
    role = _find_role(issuer, claims)
    if role is None:
        raise refuse()
    scopes: tuple[str, ...] = ()
    if issuer.scope_claim:
        given = claims.get(issuer.scope_claim)
        scopes = check_scopes(_read_names(given)) or ("none:none",)
    return Identity(
        tenant=check_id(tenant, "tenant"),
        principal=name_principal(issuer.issuer, principal),
        role=role,
        scopes=scopes,
        credential=f"token-{hashlib.sha256(f'{issuer.issuer}|{principal}'.encode()).hexdigest()[:24]}",
        expires=_read_time(claims.get("exp")),
    )


def _read_time(value: object) -> float:
    """Read a moment; one that is never reached is none."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise refuse()
    return float(value)


def _find_role(issuer: Issuer, claims: Mapping[str, object]) -> Role | None:
    order: tuple[Role, ...] = ("admin", "operator", "viewer")
    names = _read_names(claims.get(issuer.role_claim))
    given = {issuer.roles[name] for name in names if name in issuer.roles}
    for role in order:
        if role in given:
            return role
    return issuer.default_role


def _read_names(value: object) -> list[str]:
    """Read a claim that is one name, several with spaces between, or a list."""
    if isinstance(value, str):
        return value.split()
    return [one for one in cast("list[object]", value) if isinstance(one, str)] if isinstance(value, list) else []


def name_principal(issuer: str, subject: str) -> str:
    """Name a person by an id: the provider's own name where that is one, else a digest of it that is the same ever."""
    if PATTERN.fullmatch(subject) is not None and not subject.startswith(DIGEST):
        return subject
    return f"{DIGEST}{hashlib.sha256(f'{issuer}|{subject}'.encode()).hexdigest()[:32]}"
