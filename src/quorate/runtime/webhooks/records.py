"""How are webhooks kept, and their secrets so that they can sign and are shown to nobody?

A secret is encrypted where there are keys to encrypt artifacts with, bound to its webhook: a row that is copied to
another webhook signs nothing. Where there are none, whoever can read the database can read it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from msgspec import Struct, structs

from quorate.bus.globs import Glob
from quorate.codec.json import decode, encode
from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, TooLarge
from quorate.ports import Entry, KeyValue
from quorate.runtime.webhooks.webhook import Webhook
from quorate.security.secrets import HIDDEN, Secret
from quorate.security.webhooks import read_webhook_secret
from quorate.settings import Settings
from quorate.state.artifacts.keys import KeyRing, read_keys
from quorate.state.artifacts.sealing import Opener, Sealer
from quorate.state.webhooks import HOOKS, build_hook_key, build_hook_prefix

PAGE = 200
MAX_TRIES = 50
LONGEST_SECRET = 256


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret as it is kept."""

    data: bytes
    size: int
    is_sealed: bool = False
    until: float | None = None
    """Wall time up to which it signs too; the newest one signs until it is replaced."""

    def __repr__(self) -> str:
        return f"Kept('{HIDDEN}')"


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook and its secrets."""

    webhook: Webhook
    secrets: tuple[Kept, ...]
    """The newest first."""
    revision: int = 0

    @property
    def key(self) -> str:
        """Where it is kept."""
        return build_hook_key(self.webhook.tenant, self.webhook.id)

    @property
    def is_sealed(self) -> bool:
        """Whether its secrets are encrypted where they are kept."""
        return all(kept.is_sealed for kept in self.secrets)


class Safe:
    """Closes secrets before they are kept, and opens them at the moment of use."""

    def __init__(self, keys: KeyRing | None) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: Settings) -> Safe:
        """Open it with the keys that artifacts are encrypted with, where there are any."""
        given = settings.artifacts.keys
        return cls(read_keys(given.reveal()) if given is not None else None)

    def close(self, webhook: Webhook, secret: Secret) -> Kept:
        """Turn a secret into what is kept of it.

        Raises:
            MissingExtra: There are keys, and `cryptography` is not installed.
        """
        plain = secret.reveal().encode()
        if self._keys is None:
            return Kept(data=plain, size=len(plain))
        sealer = Sealer(build_hook_key(webhook.tenant, webhook.id), compress=False, keys=self._keys)
        return Kept(data=sealer.header + sealer.feed(plain) + sealer.finish(), size=len(plain), is_sealed=True)

    def open(self, webhook: Webhook, kept: Kept) -> Secret:
        """Turn what is kept back into the secret.

        Raises:
            CorruptState: It does not verify, or its key is not in the settings.
            MissingExtra: It is encrypted, and `cryptography` is not installed.
        """
        try:
            secret = Secret(self._unseal(webhook, kept).decode())
            read_webhook_secret(secret)
            return secret
        except (CorruptState, InvalidInput, UnicodeDecodeError) as error:
            raise CorruptState(
                f"The secret of webhook {webhook.id!r} cannot be opened: `artifacts.keys` has not the key that closed "
                f"it, or it was changed. Give it a new one with `quorate webhooks rotate {webhook.id}`.",
                webhook=webhook.id,
            ) from error

    def open_all(self, record: Record, *, now: float) -> list[Secret]:
        """Open the secrets that sign at a moment, the newest first; raises what `open` raises.

        Raises:
            CorruptState: There is none that signs.
        """
        webhook = record.webhook
        signing = [self.open(webhook, kept) for kept in record.secrets if kept.until is None or kept.until > now]
        if not signing:
            raise CorruptState(
                f"Webhook {webhook.id!r} has no secret: give it one with `quorate webhooks rotate {webhook.id}`.",
                webhook=webhook.id,
            )
        return signing

    def _unseal(self, webhook: Webhook, kept: Kept) -> bytes:
        if not kept.is_sealed:
            return kept.data
        size = min(kept.size, LONGEST_SECRET)
        opener = Opener(build_hook_key(webhook.tenant, webhook.id), size=size, keys=self._keys)
        return b"".join([*opener.feed(kept.data), *opener.finish()])


class Records:
    """The webhooks of a store; each is one value."""

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def find(self, tenant: str, webhook: str) -> Record | None:
        """Find a webhook.

        Raises:
            CorruptState: It does not verify.
        """
        entry = await self._values.get(build_hook_key(tenant, webhook))
        return _read(entry) if entry is not None else None

    async def get(self, tenant: str, webhook: str) -> Record:
        """Return a webhook.

        Raises:
            NotFound: There is none of that id.
            CorruptState: It does not verify.
        """
        found = await self.find(tenant, webhook)
        if found is None:
            raise NotFound(f"There is no webhook {webhook!r}: list them with `quorate webhooks list`.", webhook=webhook)
        return found

    async def put(self, record: Record) -> Record:
        """Store a record over the very revision it was read at (0: where there is none).

        Raises:
            Conflict: Somebody else was quicker.
        """
        body = encode(structs.replace(record, revision=0))
        entry = await self._values.put(record.key, body, if_revision=record.revision)
        return structs.replace(record, revision=entry.revision)

    async def change(self, tenant: str, webhook: str, change: Callable[[Record], Record]) -> Record:
        """Store `change(record)`; it is called again when somebody else was quicker, and may return what it was given.

        Raises:
            NotFound: There is none of that id.
            Conflict: Others were quicker too often.
        """
        for _ in range(MAX_TRIES):
            record = await self.get(tenant, webhook)
            changed = change(record)
            if changed is record:
                return record
            try:
                return await self.put(changed)
            except Conflict:
                continue
        raise Conflict(f"Webhook {webhook!r} was changed by others {MAX_TRIES} times meanwhile: try again.")

    async def delete(self, tenant: str, webhook: str, *, expected: int | None = None) -> bool:
        """Forget a webhook and say whether it was there.

        Raises:
            Conflict: It is another revision than `expected`.
        """
        return await self._values.delete(build_hook_key(tenant, webhook), if_revision=expected)

    async def scan(self, tenant: str | None = None) -> AsyncIterator[Record | CorruptState]:
        """Yield the webhooks of a tenant, or of all; for those that do not verify, why."""
        prefix, place = HOOKS if tenant is None else build_hook_prefix(tenant), ""
        while True:
            entries = await self._values.scan(prefix, after=place, limit=PAGE)
            for entry in entries:
                try:
                    yield _read(entry)
                except CorruptState as error:
                    yield error
            if len(entries) < PAGE:
                return
            place = entries[-1].key


def _read(entry: Entry) -> Record:
    try:
        record = decode(entry.value, Record, what=entry.key)
        if record.key != entry.key:
            raise InvalidInput(f"It is {record.key!r}.")  # a row of one webhook is never taken for another one
        for pattern in record.webhook.events:
            Glob(pattern)
    except (InvalidInput, TooLarge) as error:
        name = entry.key.rpartition("/")[2]
        # What does not fit may be a part of the secret.
        raise CorruptState(
            f"Webhook {name!r} does not verify: remove it with `quorate webhooks remove {name}`, and add it again.",
            webhook=name,
        ) from error
    return structs.replace(record, revision=entry.revision)
