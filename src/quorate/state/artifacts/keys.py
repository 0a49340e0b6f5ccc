"""Which keys encrypt what is kept, and how does a key get out of use?"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorate.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)


class KeyRing:
    """Keys by id: the last one encrypts, all of them decrypt; shown nowhere.

    To rotate, add a key at the end, let everything that was encrypted with an older one be encrypted anew
    (`rotate_keys`), and take the older one away.
    """

    __slots__ = ("_keys", "newest")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise InvalidInput("a key ring has at least one key; make one with `new_key()`.")
        for name, key in keys.items():
            if _ID.fullmatch(name) is None:
                raise InvalidInput(f"key id {name[:80]!r} is not one: use 1 to 32 of letters, digits, `_`, `.`, `-`.")
            if len(key) != KEY_BYTES:
                raise InvalidInput(
                    f"key {name!r} has {len(key)} bytes; a key has {KEY_BYTES}: make one with `new_key()`."
                )
            if len(set(key)) < KEY_BYTES // 4:
                raise InvalidInput(f"key {name!r} is too simple to be random: make one with `new_key()`.")
        self._keys = dict(keys)
        self.newest = next(reversed(self._keys))
        """The id of the key that encrypts."""

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def derive(self, key_id: str, salt: bytes) -> AESGCM:
        """Derive the cipher of one blob, so that no two blobs share a key and its nonces.

        Raises:
            InvalidInput: There is no such key in the ring.
            MissingExtra: `cryptography` is not installed.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise InvalidInput(
                f"an artifact is encrypted with key {key_id!r}, and the key ring has only "
                f"{', '.join(map(repr, self._keys))}: add it to read what was encrypted with it."
            )
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtra("Encryption of artifacts", "encryption") from error
        return AESGCM(hmac.digest(key, b"quorate artifact 1\0" + salt, "sha256"))


def new_key() -> str:
    """Make a key as it is written in settings: 32 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def read_keys(text: str) -> KeyRing:
    """Read a key ring written as `id:base64` items with commas between, the newest last.

    Raises:
        InvalidInput: It is not written so; the message never shows a key.
    """
    keys: dict[str, bytes] = {}
    for place, item in enumerate(text.split(","), 1):
        key_id, _, encoded = item.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise InvalidInput(f"key {place} of the key ring is not `id:` and {KEY_BYTES} bytes in base64.")
        if key_id in keys:
            raise InvalidInput(f"the key ring has key {key_id!r} twice: an id stands for one key for ever.")
        keys[key_id] = key
    return KeyRing(keys)
