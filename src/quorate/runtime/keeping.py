"""How does a change of a secret reach whoever uses it, without a restart?"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from secrets import token_bytes
from typing import cast

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidFiles, InvalidInput, QuorateError
from quorate.runtime.documents import Documents
from quorate.runtime.vault import Login, VaultSecrets
from quorate.security.providers import FileSecrets, Kind, Providers, SecretProvider
from quorate.security.secrets import KeptSecret
from quorate.settings import Settings

SETTLING = 3
"""How often in a row all are read again at most, where two readings differ."""
_logger = logging.getLogger("quorate.secrets")


class Keeper:
    """Looks at where secrets are kept, and lets whoever holds one know its present value.

    A place that cannot be read changes nothing: the last value stays, and the log says so once for each reason.

    Args:
        secrets: The secrets that are kept elsewhere.
        providers: Who reads which kind of place.
    """

    def __init__(self, secrets: Sequence[KeptSecret], providers: Providers) -> None:
        self._secrets = tuple(secrets)
        self._providers = providers
        self._failing: dict[str, str] = {}
        self._salt = token_bytes(32)
        self._before: dict[str, bytes] = {}
        """Marks of what was read last: the values themselves are kept nowhere here."""

    async def renew(self) -> dict[str, QuorateError]:
        """Read all of them once; return what failed, by place."""
        read, failed = await self._read()
        for _ in range(SETTLING):
            marks = self._mark(read)
            if marks == self._before:
                break
            # What was replaced while we read it may be half old: what is read once more is all of one kind.
            self._before = marks
            read, failed = await self._read()
        # All at once, so that nobody sees one of two secrets that were replaced together.
        for secret in self._secrets:
            if secret.place not in read:
                continue
            try:
                if secret.renew(read[secret.place]):
                    _logger.info("secret.changed", extra={"place": secret.place})
            except QuorateError as error:
                failed[secret.place] = error
        self._note(failed)
        return failed

    async def keep(self, every_s: float) -> None:
        """Read all of them again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.renew()
            except Exception as error:  # whatever breaks in one look, the next may do better; without it none change
                _logger.warning("secret.broken", extra={"error": type(error).__name__})

    def _mark(self, read: Mapping[str, str]) -> dict[str, bytes]:
        return {place: hmac.digest(self._salt, value.encode(), "sha256") for place, value in read.items()}

    async def _read(self) -> tuple[dict[str, str], dict[str, QuorateError]]:
        read: dict[str, str] = {}
        failed: dict[str, QuorateError] = {}
        for place in dict.fromkeys(secret.place for secret in self._secrets):
            kind, _, name = place.partition(":")
            try:
                read[place] = await self._find_provider(kind).read(name)
            except QuorateError as error:
                failed[place] = error
        return read, failed

    def _find_provider(self, kind: str) -> SecretProvider:
        provider = self._providers.get(cast("Kind", kind))  # what is no kind is in no table
        if provider is None:
            raise InvalidInput("Secrets are kept in Vault, and nothing says where it is: set `secrets.vault_url`.")
        return provider

    def _note(self, failed: dict[str, QuorateError]) -> None:
        for place, error in failed.items():
            if self._failing.get(place) != error.code:
                _logger.warning("secret.unread", extra={"place": place, "code": error.code})
        self._failing = {place: error.code for place, error in failed.items()}


@asynccontextmanager
async def open_secrets(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> AsyncGenerator[None]:
    """Read the secrets that are kept elsewhere, and follow their changes while a block lasts.

    Raises:
        InvalidFiles: One was never read and cannot be; all of them are told, and no values.
    """
    kept = settings.list_kept_secrets()
    if not kept:
        yield
        return
    documents = Documents()
    keeper = Keeper(kept, build_providers(settings, documents=documents, clock=clock))
    try:
        _check_known(kept, await keeper.renew())
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(keeper.keep(settings.secrets.refresh_s))
            try:
                yield
            finally:
                keeping.cancel()
    finally:
        await documents.aclose()


async def read_secrets(settings: Settings) -> None:
    """Read the secrets that were never read, once; raises what `open_secrets` raises."""
    kept = [secret for secret in settings.list_kept_secrets() if not secret.is_known]
    if not kept:
        return
    documents = Documents()
    try:
        keeper = Keeper(kept, build_providers(settings, documents=documents))
        _check_known(kept, await keeper.renew())
    finally:
        await documents.aclose()


def build_providers(settings: Settings, *, documents: Documents, clock: Clock = SYSTEM_CLOCK) -> Providers:
    """Build what reads secrets, by the kind of place they are kept in."""
    chosen = settings.secrets
    if not chosen.vault_url:
        return {"file": FileSecrets()}
    login = Login(
        token=chosen.vault_token,
        role=chosen.vault_role,
        mount=chosen.vault_mount,
        token_file=chosen.vault_token_file,
        namespace=chosen.vault_namespace,
    )
    vault = VaultSecrets(chosen.vault_url, login, documents=documents, clock=clock)
    return {"file": FileSecrets(), "vault": vault}


def _check_known(kept: Sequence[KeptSecret], failed: Mapping[str, QuorateError]) -> None:
    unknown = sorted({secret.place for secret in kept if not secret.is_known})
    if unknown:
        raise InvalidFiles("the secrets", [f"{place}: {failed[place].message}" for place in unknown])
