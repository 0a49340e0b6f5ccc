"""Whose ballot is this, and is it the one that was cast?

A ballot is signed together with the decision, the round, the terms and the voter, so that it counts nowhere else.
Voters with a key of their own sign by Ed25519 (RFC 8032); for all others the council vouches, by HMAC-SHA-256
(RFC 2104) with its secret.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from msgspec import Struct

from quorate.council.ballot import Ballot
from quorate.council.terms import Terms
from quorate.errors import InvalidInput

HMAC = "hmac"
LEAST_SECRET = 16
"""How many bytes a secret has at least."""
_encode = msgspec.json.Encoder(order="sorted").encode


class Paper(Struct, frozen=True, kw_only=True):
    """What a ballot is signed together with."""

    decision: str
    round: int
    terms: str
    """The digest of the terms."""
    voter: str

    def write(self, ballot: str) -> bytes:
        """Write what is signed: the paper and the ballot on it."""
        return _encode([self.decision, self.round, self.terms, self.voter, ballot])


class SignedBallot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a voter with a key of its own hands in."""

    decision: str
    round: int
    ballot: Ballot
    signature: str


class Seal:
    """Vouches for ballots and records by a secret.

    Args:
        secret: At least 16 bytes; whoever has it can vouch for anything.
        former: Secrets that were used before, by which older records are still verified.

    Raises:
        InvalidInput: A secret is too short.
    """

    def __init__(self, secret: bytes, *, former: tuple[bytes, ...] = ()) -> None:
        for one in (secret, *former):
            if len(one) < LEAST_SECRET:
                raise InvalidInput(f"The council's secret has {len(one)} bytes: give at least {LEAST_SECRET}.")
        self._secret = secret
        self._former = former

    def sign(self, digest: str) -> str:
        """Vouch for what has a digest."""
        return f"{HMAC}:{_mac(self._secret, digest)}"

    def is_own(self, digest: str, signature: str) -> bool:
        """Whether this council vouched for what has a digest."""
        kind, _, mac = signature.partition(":")
        secrets = (self._secret, *self._former)
        return kind == HMAC and any(hmac.compare_digest(mac.encode(), _mac(one, digest).encode()) for one in secrets)


def _mac(secret: bytes, digest: str) -> str:
    return hmac.new(secret, digest.encode(), hashlib.sha256).hexdigest()


def digest_text(text: bytes) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def write_ballot(ballot: Ballot) -> str:
    """Write a ballot as the text that is signed and kept."""
    return _encode(ballot).decode()


def digest_terms(terms: Terms) -> str:
    """Return the SHA-256 of what a vote is about and how it is counted."""
    return digest_text(_encode(terms))
