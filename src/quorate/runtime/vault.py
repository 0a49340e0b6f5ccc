"""How is a secret read from Vault (key-value engine, version 2), and how does it know us?"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import msgspec
from msgspec import Struct

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotFound,
    QuorateError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from quorate.runtime.documents import Documents
from quorate.security.providers import check_text, read_file, read_vault_place
from quorate.security.secrets import Secret

SHARE = 2 / 3
"""After which share of its life a token that we were given is replaced."""
SHORTEST_S = 10.0


class Login(Struct, frozen=True, kw_only=True):
    """How Vault knows us: by a token, or as an account of Kubernetes."""

    token: Secret | None = None
    """A token that somebody gave us; read anew for each call."""
    role: str = ""
    """The role to log in as with the account of the pod we are in."""
    mount: str = "kubernetes"
    """Where Vault has that way to log in."""
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # a path
    """Where Kubernetes writes the account's own token, which it replaces now and then."""
    namespace: str = ""
    """The namespace in Vault, where it has several."""


class VaultSecrets:
    """Reads secrets over Vault's HTTP API.

    Args:
        url: Where it is, such as `https://vault.internal:8200`.
        login: How it knows us.
        documents: What asks it.
        clock: Where time comes from.
    """

    def __init__(self, url: str, login: Login, *, documents: Documents, clock: Clock = SYSTEM_CLOCK) -> None:
        self._url = url.rstrip("/")
        self._login = login
        self._documents = documents
        self._clock = clock
        self._token = Secret("")
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def read(self, name: str) -> str:
        """Return a field of the newest version of a secret; see `SecretProvider`."""
        place = read_vault_place(name)
        address = f"{self._url}/v1/{quote(place.mount)}/data/{quote(place.path)}"
        status, body = await self._ask(address, token=await self._get_token())
        if status == 403 and self._login.token is None:
            self._until = 0.0  # it may have been withdrawn before its time: another one is asked for, once
            status, body = await self._ask(address, token=await self._get_token())
        _check_status(status, name)
        try:
            fields = msgspec.json.decode(body, type=_Secret).data.data
        except msgspec.DecodeError:
            # The cause may show a part of the value.
            raise Unavailable(f"What Vault sent of {name!r} is no secret of version 2 of its engine.") from None
        if place.field not in fields:
            raise NotFound(f"The secret {name!r} has no such field in Vault: write it there, or name another.")
        value = fields[place.field]
        if not isinstance(value, str):
            raise InvalidInput(f"The field {name!r} in Vault is no text; write the secret as text.")
        return check_text(value.encode("utf-8", "surrogatepass"), f"the field {name!r} in Vault")

    async def _ask(self, url: str, body: bytes = b"", *, token: Secret | None = None) -> tuple[int, bytes]:
        headers = {"X-Vault-Request": "true"}
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if self._login.namespace:
            headers["X-Vault-Namespace"] = self._login.namespace
        try:
            return await self._documents.ask(url, body, headers=headers)
        except (Forbidden, TooLarge):
            raise
        except DeadlineExceeded as error:
            raise Unavailable(f"Vault at {self._url!r} did not answer in time.") from error
        except QuorateError as error:
            raise Unavailable(f"Vault at {self._url!r} cannot be asked: {error.code}.") from error

    async def _get_token(self) -> Secret:
        if self._login.token is not None:
            return self._login.token
        async with self._turn:
            if self._clock.monotonic() >= self._until:
                await self._log_in()
            return self._token

    async def _log_in(self) -> None:
        began, login = self._clock.monotonic(), self._login
        if not login.role:
            raise Unauthenticated("Vault needs to know us: set `secrets.vault_token`, or `secrets.vault_role`.")
        account = await asyncio.to_thread(read_file, login.token_file)
        body = msgspec.json.encode({"role": login.role, "jwt": account})
        status, answer = await self._ask(f"{self._url}/v1/auth/{quote(login.mount)}/login", body)
        if status in (400, 403):
            raise Unauthenticated(
                f"Vault does not let us in as {login.role!r} at {login.mount!r}: see whether the role is for this "
                "account and namespace of Kubernetes."
            )
        _check_status(status, f"auth/{login.mount}")
        try:
            given = msgspec.json.decode(answer, type=_Given).auth
        except msgspec.DecodeError:
            raise Unavailable(f"What Vault answered at {login.mount!r} is no login.") from None
        self._token = Secret(given.client_token)
        self._until = began + max(given.lease_duration * SHARE, SHORTEST_S)


def _check_status(status: int, name: str) -> None:
    """Return if an answer is one of success; what Vault says about a failure is not repeated."""
    if status == 200:
        return
    if status == 404:
        raise NotFound(f"There is no secret {name!r} in Vault, or it was deleted: write it there, or name another.")
    if status in (400, 401, 403):
        raise Forbidden(
            f"Vault does not let us read {name!r}: see whether the token is valid and its policy covers it."
        )
    raise Unavailable(f"Vault answered {status} for {name!r}: see whether it is sealed, or overloaded.", status=status)


class _Inner(Struct, frozen=True):
    data: dict[str, object]


class _Secret(Struct, frozen=True):
    data: _Inner


class _Auth(Struct, frozen=True):
    client_token: str
    lease_duration: float = 0.0


class _Given(Struct, frozen=True):
    auth: _Auth
