"""Does what is kept come back as it was, and nothing else come back at all?"""

import os
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.artifacts.stores import KEYS, RING

from quorate.errors import CorruptState, InvalidInput, MissingExtra
from quorate.state.artifacts import KeyRing, new_key, read_keys
from quorate.state.artifacts.sealing import FRAME, Opener, Sealer, is_compressible

PLACE = "acme/abc"
SIZES = st.sampled_from([0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 17])


def seal(data: bytes, *, compress: bool = False, keys: KeyRing | None = None, place: str = PLACE) -> bytes:
    sealer = Sealer(place, compress=compress, keys=keys)
    return sealer.header + b"".join(sealer.feed(piece) for piece in cut(data, 1000)) + sealer.finish()


def unseal(sealed: bytes, *, size: int, keys: KeyRing | None = None, place: str = PLACE, step: int = 1 << 20) -> bytes:
    opener = Opener(place, size=size, keys=keys)
    found = [piece for chunk in cut(sealed, step) for piece in opener.feed(chunk)]
    return b"".join([*found, *opener.finish()])


def cut(data: bytes, step: int) -> list[bytes]:
    return [data[begin : begin + step] for begin in range(0, len(data), step)]


@given(
    data=st.binary(max_size=3000) | SIZES.map(lambda n: (b"quorate " * n)[:n]) | SIZES.map(os.urandom),
    compress=st.booleans(),
    encrypt=st.booleans(),
    step=st.integers(1, 100_000),
)
def test_what_is_kept_comes_back(data: bytes, compress: bool, encrypt: bool, step: int) -> None:
    """In whatever pieces it is written and read."""
    keys = RING if encrypt else None
    sealed = seal(data, compress=compress, keys=keys)
    assert unseal(sealed, size=len(data), keys=keys, step=max(step, len(sealed) // 200)) == data
    if encrypt and len(data) > 64:
        assert data[:64] not in sealed


@given(
    data=st.binary(min_size=1, max_size=300), at=st.integers(0, 10**6), bit=st.integers(0, 7), compress=st.booleans()
)
def test_no_bit_of_what_is_encrypted_can_be_changed(data: bytes, at: int, bit: int, compress: bool) -> None:
    """Each one is noticed, the header's too."""
    sealed = bytearray(seal(data, compress=compress, keys=RING))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises((CorruptState, InvalidInput)):
        unseal(bytes(sealed), size=len(data), keys=RING)


@given(data=SIZES.map(os.urandom), cut_off=st.integers(1, FRAME + 100), compress=st.booleans(), encrypt=st.booleans())
def test_what_is_cut_off_is_noticed(data: bytes, cut_off: int, compress: bool, encrypt: bool) -> None:
    """Whole frames too: the last one is marked."""
    keys = RING if encrypt else None
    sealed = seal(data, compress=compress, keys=keys)
    with pytest.raises(CorruptState, match=r"missing|cut"):
        unseal(sealed[:-cut_off], size=len(data), keys=keys)


def test_frames_cannot_be_moved_repeated_or_dropped() -> None:
    """A frame counts only at its own place."""
    sealed = seal(os.urandom(4 * FRAME), keys=RING)
    begin, step = len(sealed) % (FRAME + 16), FRAME + 16
    head, frames = sealed[:begin], cut(sealed[begin:], step)
    assert len(frames) == 4
    for wrong in ([1, 0, 2, 3], [0, 0, 2, 3], [0, 2, 3], [0, 1, 2], [0, 1, 2, 3, 3]):
        with pytest.raises(CorruptState, match="do not verify"):
            unseal(head + b"".join(frames[n] for n in wrong), size=4 * FRAME, keys=RING)


def test_bytes_of_another_place_are_not_taken() -> None:
    """Neither another tenant's nor another artifact's, though the key is the same."""
    with pytest.raises(CorruptState, match="its key is another one"):
        unseal(seal(b"secret", keys=RING, place="acme/abc"), size=6, keys=RING, place="other/abc")


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_bomb_gives_no_more_than_there_was(size: int) -> None:
    """What would become more than was saved is refused before it is there."""
    bomb = seal(bytes(50_000_000), compress=True)
    assert len(bomb) < 400_000
    found: list[int] = []
    with pytest.raises(CorruptState, match="more than what was saved"):
        found.extend(len(piece) for piece in Opener(PLACE, size=size, keys=None).feed(bomb))
    assert sum(found) <= size


def test_what_follows_the_end_is_refused() -> None:
    """A second stream behind the first is no part of it."""
    sealed = seal(b"x" * 100, compress=True) + zlib.compress(b"y" * 100)
    with pytest.raises(CorruptState, match="something follows its end"):
        unseal(sealed, size=100)


def test_a_key_that_is_gone_is_named() -> None:
    """Whoever reads it knows which one to add; with another key of that id nothing opens."""
    sealed = seal(b"secret", keys=KeyRing({"old": KEYS["first"]}))
    with pytest.raises(InvalidInput, match="encrypted with key 'old', and the key ring has only 'new'"):
        unseal(sealed, size=6, keys=KeyRing({"new": KEYS["second"]}))
    with pytest.raises(InvalidInput, match="encrypted with key 'old', and no key ring is given"):
        unseal(sealed, size=6)
    with pytest.raises(CorruptState, match="its key is another one"):
        unseal(sealed, size=6, keys=KeyRing({"old": KEYS["second"]}))
    assert unseal(sealed, size=6, keys=KeyRing({"old": KEYS["first"], "new": KEYS["second"]})) == b"secret"


def test_the_newest_key_encrypts() -> None:
    """The one that stands last."""
    assert Sealer(PLACE, compress=False, keys=RING).key_id == "second" == RING.newest


def test_no_two_blobs_are_encrypted_alike() -> None:
    """The same bytes twice tell nobody that they are the same."""
    assert seal(b"same", keys=RING)[-20:] != seal(b"same", keys=RING)[-20:]


@pytest.mark.parametrize(
    ("given_keys", "words"),
    [
        ({}, "at least one key"),
        ({"a b": os.urandom(32)}, "key id 'a b' is not one"),
        ({"a": b"short"}, "key 'a' has 5 bytes; a key has 32"),
        ({"a": b"x" * 32}, "too simple to be random"),
    ],
)
def test_weak_keys_stop_the_start(given_keys: dict[str, bytes], words: str) -> None:
    """A key is 32 random bytes."""
    with pytest.raises(InvalidInput, match=words):
        KeyRing(given_keys)


def test_keys_are_read_from_settings_and_shown_nowhere() -> None:
    """`id:base64`, the newest last; no message and no text form has a key in it."""
    first, second = new_key(), new_key()
    ring = read_keys(f"2026-01:{first}, 2026-02:{second}")
    assert ring.newest == "2026-02"
    assert repr(ring) == "KeyRing(2026-01, 2026-02)"
    for wrong in (f"a:{first[:-4]}", "a:***", first, f"a:{first},a:{second}"):
        with pytest.raises(InvalidInput) as told:
            read_keys(wrong)
        assert first[:8] not in str(told.value)


def test_what_cannot_become_smaller_is_not_compressed() -> None:
    """The beginning tells."""
    assert is_compressible(b"quorate " * 4000)
    assert not is_compressible(os.urandom(20_000))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept in clear instead."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quorate\[encryption\]'"):
        Sealer(PLACE, compress=False, keys=RING)
