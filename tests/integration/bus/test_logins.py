"""Does every kind of login let in, and is a connection from another machine always secured?"""

import asyncio
import base64
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys  # pyright: ignore[reportMissingTypeStubs]
import pytest
from tests.certificates import Authority
from tests.tenants import build_facts

from quorate.bus.accounts.facts import Facts, ServerFacts, TlsFacts
from quorate.bus.accounts.saving import Saved, find_faults, save_configuration
from quorate.bus.backends.nats import NatsLogin, NatsPatience, NatsTls, open_nats_bus
from quorate.errors import InvalidInput, QuorateError, Unauthenticated, Unavailable
from quorate.testing.nats_server import NatsServer, open_nats_server

SUBJECT = "ai.agent.told.acme"
PATIENCE_S = 60.0


async def speak(url: str, **options: Any) -> None:
    """Say something, and hear it."""
    async with (
        asyncio.timeout(PATIENCE_S),
        open_nats_bus(url, tenant="acme", **options) as bus,
        bus.subscribe(SUBJECT) as heard,
    ):
        await bus.publish(SUBJECT, b"here")
        assert (await anext(aiter(heard))).data == b"here"


async def refuse(url: str, *, connect_s: float = 20.0, **options: Any) -> QuorateError:
    """Open a bus that cannot be opened; return why."""
    with pytest.raises(QuorateError) as caught:
        await open_nats_bus(url, tenant="acme", patience=NatsPatience(connect_s=connect_s), **options).__aenter__()
    return caught.value


async def test_a_user_and_a_token_let_in() -> None:
    """And nothing that looks like them."""
    with open_nats_server(lines=["authorization { user: me, password: secret-one }"]) as server:
        await speak(server.url, login=NatsLogin(user="me", password="secret-one"))
        assert isinstance(await refuse(server.url, login=NatsLogin(user="me", password="secret-two")), Unauthenticated)
    with open_nats_server(lines=["authorization { token: secret-three }"]) as server:
        await speak(server.url, login=NatsLogin(token="secret-three"))
        error = await refuse(server.url, login=NatsLogin(token="secret-four"))
        assert isinstance(error, Unauthenticated)
        assert "secret" not in error.message
        assert "check the login by a token" in error.message


class Signer:
    """A key that signs who may talk, as the tools of NATS do."""

    def __init__(self, prefix: int) -> None:
        self.seed: bytes = nkeys.encode_seed(os.urandom(32), prefix)  # pyright: ignore[reportUnknownMemberType]
        self.keys: Any = nkeys.from_seed(bytearray(self.seed))  # pyright: ignore[reportUnknownMemberType]
        self.name: str = self.keys.public_key.decode()

    def sign(self, subject: str, kind: str, **claims: Any) -> str:
        """Write a token that says what somebody is."""
        body = {
            "iat": int(time.time()),
            "iss": self.name,
            "name": kind,
            "sub": subject,
            "nats": {"type": kind, "version": 2, **claims},
        }
        body["jti"] = base64.b32encode(hashlib.sha512(json.dumps(body).encode()).digest()[:32]).decode().strip("=")
        head = encode(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        text = f"{head}.{encode(json.dumps(body).encode())}"
        return f"{text}.{encode(self.keys.sign(text.encode()))}"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


NO_LIMITS = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "imports": -1, "exports": -1, "wildcards": True}


async def test_credentials_let_in(tmp_path: Path) -> None:
    """A file with a signed token and a seed, as servers with an operator take them; others' and nonsense do not."""
    operator, account, user = (
        Signer(prefix) for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    told = account.sign(user.name, "user", subs=-1, data=-1, payload=-1)
    lines = [
        f"operator: {operator.sign(operator.name, 'operator')}",
        "resolver: MEMORY",
        f"resolver_preload: {{ {account.name}: {operator.sign(account.name, 'account', limits=NO_LIMITS)} }}",
    ]

    def write(name: str, token: str, seed: bytes) -> NatsLogin:
        text = f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        text += f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
        (tmp_path / name).write_text(text)
        return NatsLogin(credentials_file=str(tmp_path / name))

    with open_nats_server(lines=lines, jetstream=False) as server:
        await speak(server.url, login=write("user.creds", told, user.seed))
        stranger = Signer(nkeys.PREFIX_BYTE_USER)
        error = await refuse(server.url, login=write("other.creds", told, stranger.seed))
        assert isinstance(error, Unauthenticated)
        assert "may have ended" in error.message
        (tmp_path / "none.creds").write_text("nonsense")
        error = await refuse(server.url, login=NatsLogin(credentials_file=str(tmp_path / "none.creds")))
        assert isinstance(error, InvalidInput)
        assert "no token and seed" in error.message


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def set_up(folder: Path, authority: Authority, *, asks: bool) -> tuple[Facts, Saved]:
    cert, key = authority.issue("server", hosts=("localhost",))
    facts = build_facts("acme")
    tls = TlsFacts(cert=str(cert), key=str(key), ca=str(authority.file), ask_clients=asks)
    facts = Facts(tenants=facts.tenants, server=ServerFacts(listen="0.0.0.0:-1"), tls=tls)
    return facts, save_configuration(facts, folder)


@pytest.mark.parametrize("asks", [False, True])
async def test_where_others_can_reach_it_everything_is_secured(
    tmp_path: Path, authority: Authority, asks: bool
) -> None:
    """At all addresses of a machine: by our certificate authority only, and never without TLS."""
    facts, saved = await asyncio.to_thread(lambda: set_up(tmp_path / "nats", authority, asks=asks))
    assert find_faults(facts, tmp_path / "nats") == []
    worker = next(login for login in saved.logins if login.name == "acme/worker")
    assert worker.environment["QUORATE_BUS_URL"] == "tls://HOST:PORT"
    assert worker.environment["QUORATE_BUS__CA_FILE"] == str(authority.file)
    login = NatsLogin(nkey_file=worker.key_file)
    cert, key = authority.issue("client", hosts=("client",))
    ours = NatsTls(ca_file=str(authority.file), cert_file=str(cert), key_file=str(key))
    # The last word on where it listens is the configuration's own here, not that of whoever starts it.
    listen: Callable[[NatsServer], str] = lambda server: f"tls://localhost:{server.port}"  # noqa: E731
    with open_nats_server(configuration=Path(saved.configurations[0]), lines=['listen: "0.0.0.0:-1"']) as server:
        url = listen(server)
        await speak(url, principal="worker", login=login, tls=ours)
        error = await refuse(url, principal="worker", login=login)
        assert isinstance(error, Unavailable)
        assert "cannot be trusted" in error.message
        error = await refuse(url.replace("tls:", "nats:"), principal="worker", login=login, connect_s=1)
        assert isinstance(error, Unavailable)
        error = await refuse(
            url.replace("localhost", "127.0.0.1"), principal="worker", login=login, tls=ours, connect_s=20
        )
        assert "cannot be trusted" in error.message, "the certificate is for another name"
        if asks:
            bare = NatsTls(ca_file=str(authority.file))
            assert isinstance(await refuse(url, principal="worker", login=login, tls=bare, connect_s=1), Unavailable)


async def test_a_server_that_lets_in_anybody_is_for_this_machine_alone() -> None:
    """At an address that others may reach it is refused, though it takes every login."""
    with open_nats_server() as server:
        await speak(server.url)
        error = await refuse(server.url.replace("127.0.0.1", "0.0.0.0"), login=NatsLogin(user="me", password="any"))
        assert isinstance(error, InvalidInput)
        assert "it lets in anybody, from any machine" in error.message
