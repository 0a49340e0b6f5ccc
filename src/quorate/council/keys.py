"""How does a voter sign its ballots by a key of its own (Ed25519, RFC 8032)?"""

from __future__ import annotations

import base64
import binascii

from quorate.council.ballot import Ballot
from quorate.council.signing import Paper, SignedBallot, write_ballot
from quorate.errors import InvalidInput, MissingExtra

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise MissingExtra("Ballots signed by their voters", "encryption") from error

ED25519 = "ed25519"


def make_key() -> tuple[str, str]:
    """Make a private and a public key for a voter, each in base64."""
    private = Ed25519PrivateKey.generate()
    return _to_text(private.private_bytes_raw()), _to_text(private.public_key().public_bytes_raw())


def sign_ballot(private_key: str, paper: Paper, ballot: Ballot) -> SignedBallot:
    """Sign a ballot by a voter's own key.

    Args:
        private_key: As `make_key` made it.
        paper: Which vote it is for, and whose it is.
        ballot: The ballot.

    Raises:
        InvalidInput: The key is none.
    """
    try:
        private = Ed25519PrivateKey.from_private_bytes(_from_text(private_key))
    except ValueError as error:
        raise InvalidInput("The private key is no Ed25519 key in base64: make one by `make_key()`.") from error
    signature = _to_text(private.sign(paper.write(write_ballot(ballot))))
    return SignedBallot(decision=paper.decision, round=paper.round, ballot=ballot, signature=f"{ED25519}:{signature}")


def check_key(key: str, what: str) -> None:
    """Check that a text is a public key.

    Raises:
        InvalidInput: It is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(_from_text(key))
    except ValueError as error:
        raise InvalidInput(f"{what} has the key {key!r:.60}, which is no Ed25519 key in base64.") from error


def is_signed_by(key: str, text: bytes, signature: str) -> bool:
    """Whether a text was signed by whoever has the private key to a public one."""
    kind, _, signed = signature.partition(":")
    if kind != ED25519:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(_from_text(key)).verify(_from_text(signed), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_text(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
