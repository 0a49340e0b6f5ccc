"""How do bytes look where they are kept: compressed where that helps, encrypted where there are keys?

A blob begins with `QA`, a version, and flags; an encrypted one goes on with the id of its key and a salt. What follows
are the bytes, perhaps deflated. Encrypted, they are frames of 64 KiB under AES-256-GCM with a key of the blob's own;
the nonce counts the frames and marks the last one, so that no frame can be dropped, moved, repeated or cut off, and
the header and the place are authenticated with each.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from quorate.errors import CorruptState, InvalidInput
from quorate.state.artifacts.keys import KeyRing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME = 64 << 10
TAG = 16
SALT = 32
LEVEL = 3
PIECE = 1 << 20
"""The most bytes that are handed on at once, however well they were compressed."""
SAMPLE = 16 << 10
_MAGIC = b"QA\x01"
_DEFLATED, _ENCRYPTED = 1, 2


def is_compressible(sample: bytes) -> bool:
    """Whether the first bytes say that compressing the rest is worth it."""
    return len(zlib.compress(sample[:SAMPLE], 1)) < 0.9 * min(len(sample), SAMPLE)


class Sealer:
    """Turns bytes, piece by piece, into what is kept of them."""

    def __init__(self, place: str, *, compress: bool, keys: KeyRing | None) -> None:
        self.key_id = keys.newest if keys is not None else ""
        """The id of the key that it is encrypted with; empty when it is not."""
        self._deflate = zlib.compressobj(LEVEL) if compress else None
        flags = _DEFLATED * compress | _ENCRYPTED * (keys is not None)
        self.header = _MAGIC + bytes([flags])
        """What comes first."""
        self._cipher: AESGCM | None = None
        if keys is not None:
            salt = os.urandom(SALT)
            self.header += bytes([len(self.key_id)]) + self.key_id.encode() + salt
            self._cipher = keys.derive(self.key_id, salt)
        self._bound = self.header + place.encode()
        self._buffer = bytearray()
        self._frames = 0

    def feed(self, data: bytes) -> bytes:
        """Take in a piece and return what is ready to be kept."""
        if self._deflate is not None:
            data = self._deflate.compress(data)
        return self._encrypt(data, last=False) if self._cipher is not None else data

    def finish(self) -> bytes:
        """Return the rest."""
        data = self._deflate.flush() if self._deflate is not None else b""
        return self._encrypt(data, last=True) if self._cipher is not None else data

    def _encrypt(self, data: bytes, *, last: bool) -> bytes:
        assert self._cipher is not None
        self._buffer += data
        ready = bytearray()
        # The last frame may be empty, but it is always there: what is cut off behind a frame has none.
        while len(self._buffer) > FRAME:
            ready += self._cipher.encrypt(build_nonce(self._frames, last=False), self._buffer[:FRAME], self._bound)
            del self._buffer[:FRAME]
            self._frames += 1
        if last:
            ready += self._cipher.encrypt(build_nonce(self._frames, last=True), bytes(self._buffer), self._bound)
        return bytes(ready)


class _Inflate(Protocol):
    """What `zlib.decompressobj` gives; its type has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Opener:
    """Turns what is kept, piece by piece, back into the bytes; never into more than there were."""

    def __init__(self, place: str, *, size: int, keys: KeyRing | None) -> None:
        self._place = place
        self._left = size
        self._keys = keys
        self._buffer = bytearray()
        self._frames = 0
        self._started = False
        self._bound = b""
        self._cipher: AESGCM | None = None
        self._inflate: _Inflate | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in a piece and yield the bytes in it, in pieces of a bounded size.

        Raises:
            CorruptState: It does not verify, or would be more than there were.
            InvalidInput: It is encrypted with a key that is not there.
        """
        self._buffer += data
        if not self._started and not self._start():
            return
        if self._cipher is None:
            data = bytes(self._buffer)
            self._buffer.clear()
            yield from self._expand(data)
        else:
            while len(self._buffer) > FRAME + TAG:
                yield from self._expand(self._decrypt(last=False))

    def finish(self) -> Iterator[bytes]:
        """Yield the rest.

        Raises:
            CorruptState: There is less than there was.
        """
        if not self._started:
            raise self._fail("its beginning is missing")
        if self._cipher is not None:
            yield from self._expand(self._decrypt(last=True))
        if self._inflate is not None and not self._inflate.eof:
            raise self._fail("its end is missing")
        if self._left:
            raise self._fail(f"{self._left} bytes are missing")

    def _start(self) -> bool:
        """Read the header, once all of it is there."""
        buffer = self._buffer
        if len(buffer) < len(_MAGIC) + 1:
            return False
        flags = buffer[len(_MAGIC)]
        if not buffer.startswith(_MAGIC) or flags & ~(_DEFLATED | _ENCRYPTED):
            raise self._fail("it was not kept by this version, or its beginning was changed")
        end = len(_MAGIC) + 1
        if flags & _ENCRYPTED:
            id_end = end + 1 + (buffer[end] if len(buffer) > end else 0)
            if len(buffer) < id_end + SALT or id_end == end + 1:
                return False
            self._open_cipher(bytes(buffer[end + 1 : id_end]), bytes(buffer[id_end : id_end + SALT]))
            end = id_end + SALT
        self._bound = bytes(buffer[:end]) + self._place.encode()
        if flags & _DEFLATED:
            self._inflate = zlib.decompressobj()
        del buffer[:end]
        self._started = True
        return True

    def _open_cipher(self, key_id: bytes, salt: bytes) -> None:
        try:
            name = key_id.decode("ascii")
        except UnicodeDecodeError as error:
            raise self._fail("its beginning was changed") from error
        if self._keys is None:
            raise InvalidInput(f"an artifact is encrypted with key {name!r}, and no key ring is given: give it.")
        self._cipher = self._keys.derive(name, salt)

    def _decrypt(self, *, last: bool) -> bytes:
        from cryptography.exceptions import InvalidTag

        assert self._cipher is not None
        frame = bytes(self._buffer[: FRAME + TAG])
        del self._buffer[: FRAME + TAG]
        try:
            data = self._cipher.decrypt(build_nonce(self._frames, last=last), frame, self._bound)
        except (InvalidTag, ValueError) as error:
            raise self._fail("it was changed or cut, or its key is another one") from error
        self._frames += 1
        return data

    def _expand(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            if data:
                yield self._count(data)
            return
        while data or self._inflate.unconsumed_tail:
            try:
                # One byte more than may come shows that more would come.
                piece = self._inflate.decompress(data, min(PIECE, self._left + 1))
            except zlib.error as error:
                raise self._fail(str(error)) from error
            data = self._inflate.unconsumed_tail
            if piece:
                yield self._count(piece)
            if self._inflate.eof:
                if self._inflate.unused_data or data:
                    raise self._fail("something follows its end")
                return

    def _count(self, piece: bytes) -> bytes:
        self._left -= len(piece)
        if self._left < 0:
            raise self._fail("it would be more than what was saved")
        return piece

    def _fail(self, why: str) -> CorruptState:
        return CorruptState(f"The bytes kept at {self._place!r} do not verify: {why}.", place=self._place)


def build_nonce(frame: int, *, last: bool) -> bytes:
    """Build the nonce of a frame: its number, and whether it is the last one."""
    return frame.to_bytes(11, "big") + bytes([last])
