"""How is a program recognised by a key that nobody can read back from what is stored?"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from zlib import crc32

import msgspec
from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, QuorateError, Unauthenticated
from quorate.ids import check_id
from quorate.ports import KeyValue
from quorate.security.identity import Identity, Role, check_principal, check_role, check_scopes
from quorate.security.secrets import Secret

PREFIX = "qk"
SECRET_BYTES = 32
LEAST_PEPPER_BYTES = 32
TRUSTED_S = 5.0
"""How long a key is believed to be what it was, without looking again: so long does a revocation take at most."""
UNKNOWN_S = 1.0
"""How long a key that does not exist is believed not to."""
MAX_TRUSTED = 10_000
USED_S = 300.0
"""How often at most it is noted that a key was used."""
OVERLAP_S = 86_400.0
"""How long a key that was rotated goes on working, unless told otherwise."""
SETTLED_S = 300.0
"""After how long all servers are taken to know what keys are hashed with now, so that hashes may be made anew."""
PAGE = 200
MAX_NAME = 100
Peppers = Callable[[], Sequence[bytes]]
"""Gives the keys of the hash: the one that new hashes are made with, then those that older ones were."""
_TEXT = re.compile(rf"{PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})([0-9a-f]{{8}})", re.ASCII)


class ApiKey(Struct, frozen=True, kw_only=True):
    """What is kept of a key: everything but what it takes to use it."""

    id: str
    tenant: str
    principal: str
    role: Role
    name: str = ""
    """What it is for, in somebody's words."""
    scopes: tuple[str, ...] = ()
    digest: str = ""
    """HMAC-SHA-256 over its id and secret, by a key that is not in the database."""
    created: float
    by: str = ""
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    """When it was used last, to some minutes."""
    replaces: str = ""
    """The key that it is the rotation of."""
    project: str = ""
    """The project within the tenant whose quotas it counts in, too; empty for none."""

    def is_good(self, now: float) -> bool:
        """Whether it works at wall time `now`."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def build_identity(self) -> Identity:
        """Build who asks with it."""
        return Identity(
            tenant=self.tenant,
            principal=self.principal,
            role=self.role,
            scopes=self.scopes,
            credential=self.id,
            expires=self.expires,
            project=self.project,
        )


class NewKey(Struct, frozen=True, kw_only=True):
    """A key just made, and its text, which is never seen again."""

    key: ApiKey
    text: Secret


class _Trusted(Struct, frozen=True, gc=False):
    key: ApiKey | None
    until: float


class KeyRing:
    """The API keys of all tenants, kept in the store that its processes share.

    A key is `qk_<id>_<256 random bits><checksum>`. It is found by its id; what is stored of the rest is a keyed hash,
    so that neither a copy of the database nor a look at it gives a key away.

    Args:
        values: Where they are kept.
        pepper: The key of the hash, 32 random bytes or more, which is not in the database; or what gives it at the
            moment of use, and the one before it: a key that was hashed with that is hashed anew when it is used.
        clock: Where time comes from.
    """

    def __init__(self, values: KeyValue, *, pepper: bytes | Peppers, clock: Clock = SYSTEM_CLOCK) -> None:
        self._values = values
        if isinstance(pepper, bytes):
            fixed = (check_pepper(pepper),)
            self._peppers: Peppers = lambda: fixed
        else:
            self._peppers = pepper
        self._clock = clock
        self._trusted: dict[str, _Trusted] = {}
        self._seen: dict[bytes, tuple[ApiKey, Identity]] = {}
        """Who came lately, by a mark of what they bore; good for as long as their key is believed."""
        self._salt = secrets.token_bytes(32)
        self._newest = (b"", 0.0)
        """By a mark, what keys are hashed with now, and since when we have known it."""

    async def create(
        self,
        *,
        tenant: str,
        principal: str,
        role: str,
        scopes: tuple[str, ...] = (),
        name: str = "",
        by: str = "",
        lasts_s: float | None = None,
        replaces: str = "",
        project: str = "",
    ) -> NewKey:
        """Make a key; its text is in what is returned, and nowhere else from then on.

        Raises:
            InvalidInput: A fact about it is not what it must be.
            Unavailable: The store cannot be reached.
        """
        if len(name) > MAX_NAME or not (name.isprintable() or not name):
            raise InvalidInput(f"the name of a key is at most {MAX_NAME} printable characters.")
        if lasts_s is not None and lasts_s <= 0:
            raise InvalidInput(f"a key cannot last {lasts_s:g} s: give more than none.")
        now, key_id = self._clock.now(), secrets.token_hex(8)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            id=key_id,
            tenant=check_id(tenant, "tenant"),
            principal=check_principal(principal),
            role=check_role(role),
            name=name,
            scopes=check_scopes(scopes),
            digest=self._digest(key_id, secret)[0],
            created=now,
            by=by,
            expires=None if lasts_s is None else now + lasts_s,
            replaces=replaces,
            project=check_id(project, "project") if project else "",
        )
        await self._values.put(_build_place(key_id), msgspec.json.encode(key), if_revision=0)
        # Listed last: a crash in between leaves a key that nobody knows the text of.
        await self._values.put(_build_listing(tenant, key_id), b"")
        return NewKey(key=key, text=Secret(f"{PREFIX}_{key_id}_{secret}{_checksum(key_id, secret)}"))

    async def verify(self, text: str) -> Identity:
        """Find out who uses a key.

        Raises:
            Unauthenticated: It is no key, or none that works; which of both is not said.
            Unavailable: The store cannot be reached: nobody is let in.
        """
        # By a mark that nobody outside can work out, so that time tells nothing; whoever bears something else has none.
        mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32, key=self._salt).digest()
        seen = self._seen.get(mark)
        if seen is not None and self._is_current(seen[0]):
            return seen[1]
        found = _TEXT.fullmatch(text)
        if found is None or not hmac.compare_digest(found[3], _checksum(found[1], found[2])):
            raise refuse()
        key_id, secret = found[1], found[2]
        key = await self._find_trusted(key_id)
        # Worked out for unknown keys too, so that time does not tell which ids there are.
        digests = self._digest(key_id, secret)
        held = key.digest if key is not None else digests[0][::-1]
        # All of them are compared, so that time does not tell which one it was.
        is_right = [hmac.compare_digest(digest, held) for digest in digests]
        now = self._clock.now()
        if key is None or not any(is_right) or not key.is_good(now):
            raise refuse()
        if not is_right[0] and self._is_settled():
            with suppress(QuorateError):  # whoever may read may come in, also where nothing can be written
                await self._hash_anew(key, digests[0])
        if key.used is None or now - key.used >= USED_S:
            known = self._trusted.get(key_id)
            if known is not None:  # once, however many come at once
                self._trusted[key_id] = structs.replace(known, key=structs.replace(key, used=now))
            with suppress(QuorateError):  # whoever may read may come in, also where nothing can be written
                await self.note_use(key_id)
        identity, known = key.build_identity(), self._trusted.get(key_id)
        if known is not None and known.key is not None and known.key.digest == key.digest:
            if len(self._seen) >= MAX_TRUSTED:
                self._seen.clear()
            self._seen[mark] = (known.key, identity)
        return identity

    def _is_current(self, key: ApiKey) -> bool:
        """Whether a key is still believed to be what it was, and lets somebody in."""
        known = self._trusted.get(key.id)
        if known is None or known.key is not key or self._clock.monotonic() >= known.until:
            return False
        return key.is_good(self._clock.now())

    def knows(self, text: str) -> bool:
        """Whether this very key let somebody in here lately; nothing is looked up, and it may be revoked since."""
        found = _TEXT.fullmatch(text)
        known = self._trusted.get(found[1]) if found is not None else None
        if found is None or known is None or known.key is None:
            return False
        held = known.key.digest
        is_right = [hmac.compare_digest(digest, held) for digest in self._digest(found[1], found[2])]
        return any(is_right)

    def _is_settled(self) -> bool:
        """Whether all servers know by now what keys are hashed with: one that does not would let nobody in."""
        # A mark of it: the thing itself is kept nowhere here.
        newest, now = hmac.digest(self._peppers()[0], b"newest", "sha256"), self._clock.monotonic()
        if not hmac.compare_digest(newest, self._newest[0]):
            self._newest = (newest, now)
        return now - self._newest[1] >= SETTLED_S

    async def _hash_anew(self, key: ApiKey, digest: str) -> None:
        """Keep another hash of a key: what its hashes were made with was replaced."""
        known, revision = await self._read(key.id)
        if known is None or known.digest != key.digest:  # somebody else did it, or it is gone
            self._trusted.pop(key.id, None)
            return
        changed = structs.replace(known, digest=digest)
        await self._values.put(_build_place(key.id), msgspec.json.encode(changed), if_revision=revision)
        self._trusted.pop(key.id, None)

    async def note_use(self, key_id: str) -> None:
        """Note that a key was used, unless that was noted within the last minutes."""
        key, revision = await self._read(key_id)
        now = self._clock.now()
        if key is None or (key.used is not None and now - key.used < USED_S):
            return
        try:
            used = structs.replace(key, used=now)
            await self._values.put(_build_place(key_id), msgspec.json.encode(used), if_revision=revision)
        except Conflict:  # somebody else noted it, or changed it
            return

    async def show(self, key_id: str, *, tenant: str) -> ApiKey:
        """Return what is known of a key.

        Raises:
            NotFound: The tenant has no such key.
        """
        key, _ = await self._read(key_id)
        if key is None or key.tenant != tenant:
            raise build_absence(key_id)
        return key

    async def list_keys(self, *, tenant: str, after: str = "") -> AsyncGenerator[ApiKey]:
        """Yield the keys of a tenant by id, revoked and expired ones too; those behind the id `after` only."""
        prefix = _build_listing(tenant, "")
        after = f"{prefix}{after}" if after else ""
        while True:
            page = await self._values.scan(prefix, after=after, limit=PAGE)
            for entry in page:
                key, _ = await self._read(entry.key.removeprefix(prefix))
                if key is not None and key.tenant == tenant:
                    yield key
            if len(page) < PAGE:
                return
            after = page[-1].key

    async def revoke(self, key_id: str, *, tenant: str) -> ApiKey:
        """End a key for good; it is refused everywhere within five seconds.

        Raises:
            NotFound: The tenant has no such key.
        """
        now = self._clock.now()
        return await self._change(key_id, tenant, lambda key: structs.replace(key, revoked=key.revoked or now))

    async def rotate(self, key_id: str, *, tenant: str, by: str = "", overlap_s: float = OVERLAP_S) -> NewKey:
        """Make a key in place of another one, which goes on working for a while.

        Raises:
            NotFound: The tenant has no such key.
            Conflict: It does not work any more, so that there is nothing to take the place of; or somebody else
                rotates or revokes it.
        """
        now, old = self._clock.now(), await self.show(key_id, tenant=tenant)
        if not old.is_good(now):
            raise Conflict(f"Key {key_id!r} does not work any more: make a new one with `quorate keys create`.")
        if overlap_s < 0:
            raise InvalidInput(f"an old key cannot go on for {overlap_s:g} s: give none or more.")
        new = await self.create(
            tenant=tenant,
            principal=old.principal,
            role=old.role,
            scopes=old.scopes,
            name=old.name,
            by=by,
            lasts_s=None if old.expires is None else max(old.expires - old.created, 1.0),
            replaces=key_id,
            project=old.project,
        )

        def end(key: ApiKey) -> ApiKey:
            if (key.revoked, key.expires) != (old.revoked, old.expires):
                raise Conflict(f"Key {key_id!r} was changed meanwhile: look at it, and rotate it again if it is to be.")
            until = now + overlap_s
            return structs.replace(key, expires=until if key.expires is None else min(until, key.expires))

        try:
            await self._change(key_id, tenant, end)
        except Conflict:
            await self.revoke(new.key.id, tenant=tenant)  # nobody has its text
            raise
        return new

    async def _change(self, key_id: str, tenant: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        while True:
            key, revision = await self._read(key_id)
            if key is None or key.tenant != tenant:
                raise build_absence(key_id)
            changed = change(key)
            try:
                await self._values.put(_build_place(key_id), msgspec.json.encode(changed), if_revision=revision)
            except Conflict:
                continue
            self._trusted.pop(key_id, None)
            return changed

    async def _find_trusted(self, key_id: str) -> ApiKey | None:
        now = self._clock.monotonic()
        known = self._trusted.get(key_id)
        if known is not None and now < known.until:
            return known.key
        key, _ = await self._read(key_id)
        if key is not None and len(self._trusted) >= MAX_TRUSTED:
            self._forget(now)
        if key is not None or len(self._trusted) < MAX_TRUSTED:  # who guesses pushes nobody out
            self._trusted[key_id] = _Trusted(key, now + (UNKNOWN_S if key is None else TRUSTED_S))
        return key

    def _forget(self, now: float) -> None:
        """Make room: what is believed no longer goes, then what was looked at first."""
        self._trusted = {key_id: known for key_id, known in self._trusted.items() if now < known.until}
        if len(self._trusted) >= MAX_TRUSTED:
            del self._trusted[next(iter(self._trusted))]

    async def _read(self, key_id: str) -> tuple[ApiKey | None, int]:
        if not re.fullmatch(r"[0-9a-f]{16}", key_id, re.ASCII):
            return None, 0
        entry = await self._values.get(_build_place(key_id))
        if entry is None:
            return None, 0
        try:
            return msgspec.json.decode(entry.value, type=ApiKey), entry.revision
        except msgspec.DecodeError as error:
            raise CorruptState(f"What is kept of key {key_id!r} does not read; it lets nobody in.") from error

    def _digest(self, key_id: str, secret: str) -> list[str]:
        text = f"{key_id}:{secret}".encode()
        return [hmac.digest(pepper, text, "sha256").hex() for pepper in self._peppers()]


def check_pepper(pepper: bytes) -> bytes:
    """Return the key of the hash if it is long and irregular enough.

    Raises:
        InvalidInput: It is not; its value is not shown.
    """
    if len(pepper) < LEAST_PEPPER_BYTES or len(set(pepper)) < 8:
        raise InvalidInput(
            f"The secret that keys are hashed with has {len(pepper)} bytes or is too regular: give "
            f"{LEAST_PEPPER_BYTES} random ones, such as those of `openssl rand -hex 32`."
        )
    return pepper


def refuse() -> Unauthenticated:
    """Build the refusal that all credentials get which let nobody in, whatever is wrong with them."""
    return Unauthenticated("The credential does not let you in: check that it is whole, and still valid.")


def build_absence(key_id: str) -> NotFound:
    """Build what is said of a key that a tenant does not have."""
    return NotFound(f"There is no key {key_id[:80]!r}: list them with `quorate keys list`.")


def _checksum(key_id: str, secret: str) -> str:
    """Eight digits by which a mistyped or cut key is known without looking it up, and scanners know one."""
    return f"{crc32(f'{key_id}:{secret}'.encode()):08x}"


def _build_place(key_id: str) -> str:
    return f"access/key/{key_id}"


def _build_listing(tenant: str, key_id: str) -> str:
    return f"access/keys/{tenant}/{key_id}"
