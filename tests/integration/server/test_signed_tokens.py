"""Does a real server let in whom a real identity provider signed for, and nobody else?"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import structs
from tests.integration.server.conftest import PEPPER, Api, build_agents, serve

from quorate.errors import Unavailable
from quorate.events import AnyEvent
from quorate.runtime.access import open_tokens
from quorate.security.identity import Identity
from quorate.security.issuers import Issuer
from quorate.security.keys import TRUSTED_S as KEY_TRUSTED_S
from quorate.security.keys import KeyRing
from quorate.security.tokens import AGAIN_S, FRESH_S, LEEWAY_S, STALE_S, TRUSTED_S
from quorate.server.access import Doorkeeper, Verifier
from quorate.server.streams import BEAT_S, write_events
from quorate.settings import Settings
from quorate.settings.values import ServerSettings
from quorate.testing import ManualClock

RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)  # that is the point
EC = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Provider:
    """An identity provider on loopback: its keys, its description, and what it was asked."""

    url: str = ""
    keys: dict[str, object] = field(default_factory=lambda: {"one": RSA, "curve": EC, "weak": WEAK})
    asked: list[str] = field(default_factory=list)
    answer: Callable[[], web.StreamResponse] | None = None
    keys_url: str = ""
    said_issuer: str = ""

    async def show_keys(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.answer is not None:
            return self.answer()
        rows = list[dict[str, object]]()
        for name, key in self.keys.items():
            kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
            rows.append({**json.loads(kind.to_jwk(key.public_key())), "kid": name, "use": "sig"})  # type: ignore[attr-defined]
        return web.json_response({"keys": rows})

    async def describe(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        return web.json_response(
            {"issuer": self.said_issuer or self.url, "jwks_uri": self.keys_url or f"{self.url}/keys", "more": [1]}
        )


@asynccontextmanager
async def provide() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.add_routes([
        web.get("/keys", provider.show_keys),
        web.get("/.well-known/openid-configuration", provider.describe),
    ])  # fmt: skip
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        provider.url = f"http://{host}:{port}"
        yield provider
    finally:
        await runner.cleanup()


class Late:
    """A check that is there once the server is."""

    inner: Verifier

    async def verify(self, text: str, /) -> Identity:
        return await self.inner.verify(text)


@dataclass
class World:
    """A server that trusts a provider, and a clock to move."""

    api: Api
    provider: Provider
    clock: ManualClock
    doorkeeper: Doorkeeper

    def sign(
        self, *, key: object = RSA, alg: str = "RS256", kid: object = "one", head: dict[str, object] | None = None,
        **claims: object,
    ) -> str:  # fmt: skip
        now = int(self.clock.now())
        body = {
            "iss": self.provider.url, "aud": "quorate", "sub": "ann", "iat": now, "exp": now + 3600, "org": "acme",
            "groups": ["ops"], **claims,
        }  # fmt: skip
        kept = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(kept, key, algorithm=alg, headers={"kid": kid, **(head or {})})  # type: ignore[arg-type]

    async def ask(self, token: str, path: str = "/v1/runs") -> tuple[int, dict[str, object]]:
        answer = await self.api.ask("GET", path, role=None, headers={"Authorization": f"Bearer {token}"})
        return answer.status, answer.json


def build_issuer(provider: Provider, **facts: object) -> Issuer:
    issuer = Issuer(
        issuer=provider.url, audience="quorate", jwks_url=f"{provider.url}/keys", tenant_claim="org",
        tenants=("acme", "globex"), role_claim="groups", roles={"ops": "operator", "boss": "admin"},
    )  # fmt: skip
    return structs.replace(issuer, **facts)


@asynccontextmanager
async def open_world(place: Path, *, provider: Provider, **facts: object) -> AsyncIterator[World]:
    clock, late = ManualClock(), Late()
    settings = Settings(server=ServerSettings(issuers=(build_issuer(provider, **facts),)))
    async with open_tokens(settings, clock=clock) as tokens:
        doorkeeper = Doorkeeper(late, tokens=tokens)
        async with serve(place / "quorate.db", *build_agents(), doorkeeper=doorkeeper) as api:
            api.keys = KeyRing(api.runtime.store.values, pepper=PEPPER, clock=clock)
            late.inner = api.keys
            yield World(api, provider, clock, doorkeeper)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with provide() as provider, open_world(tmp_path, provider=provider) as world:
        yield world


def pack(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forge_none(world: World) -> str:
    return f"{pack({'alg': 'none', 'kid': 'one'})}.{world.sign().split('.')[1]}."


def forge_shared(world: World) -> str:
    head, body = pack({"alg": "HS256", "kid": "one"}), world.sign().split(".")[1]
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


WRONG: dict[str, Callable[[World], str]] = {
    "unsigned": forge_none,
    "the public key as a secret": forge_shared,
    "another's key": lambda world: world.sign(key=OTHER),
    "a key in the token itself": lambda world: world.sign(
        key=OTHER, head={"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER.public_key()))}
    ),
    "a key elsewhere": lambda world: world.sign(key=OTHER, head={"jku": "http://127.0.0.1:9/keys"}),
    "a path as key": lambda world: world.sign(key=OTHER, kid="../../../../dev/null"),
    "a short key": lambda world: world.sign(key=WEAK, kid="weak"),
    "a key of another kind": lambda world: world.sign(key=EC, alg="ES256", kid="one"),
    "an extension nobody knows": lambda world: world.sign(head={"crit": ["b64"], "b64": False}),
    "another audience": lambda world: world.sign(aud="shop"),
    "another issuer": lambda world: world.sign(iss="https://evil.test"),
    "over": lambda world: world.sign(exp=int(world.clock.now() - LEEWAY_S)),
    "without an end": lambda world: world.sign(exp=None),
    "from the future": lambda world: world.sign(iat=int(world.clock.now() + LEEWAY_S + 5)),
    "too long": lambda world: world.sign(more="x" * 8_192),
    "a tenant it may not name": lambda world: world.sign(org="initech"),
    "a tenant that is none": lambda world: world.sign(org=["acme"]),
    "no role": lambda world: world.sign(groups="guests"),
    "cut": lambda world: world.sign()[:-4],
}  # fmt: skip


async def test_people_of_a_provider_come_in_as_what_it_says_they_are(world: World) -> None:
    """Tenant, principal and role are the token's, whatever a request says; others' runs are not there.

    part of row C12
    """
    task = {"task": "Is it up?", "agent": "net"}
    token = world.sign(sub="auth0|42")
    made = await world.api.ask(
        "POST", "/v1/runs?wait=30", body=task, role=None, headers={"Authorization": f"Bearer {token}"}
    )
    assert made.status in (200, 201)
    run = str(made.json["id"])
    assert (await world.ask(world.sign(sub="bob"), f"/v1/runs/{run}"))[0] == 200
    assert (await world.ask(world.sign(org="globex"), f"/v1/runs/{run}"))[0] == 404
    assert (await world.ask(world.sign(key=EC, alg="ES256", kid="curve"), f"/v1/runs/{run}"))[0] == 200
    viewer = await world.api.ask(
        "POST", "/v1/runs", body=task, role=None, headers={"Authorization": f"Bearer {world.sign(groups=['guests'])}"}
    )
    assert viewer.status == 401
    assert world.provider.asked == ["/keys"]


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")
async def test_every_wrong_token_is_refused_alike(world: World) -> None:
    """One answer for all of them, of which only the request's id differs. row: C12"""
    assert (await world.ask(world.sign()))[0] == 200
    answers = dict[str, object]()
    for why, forge in WRONG.items():
        status, said = await world.ask(forge(world))
        said.pop("request_id")
        answers[why] = (status, said)
    assert {why for why, answer in answers.items() if answer != answers["cut"]} == set()
    assert answers["cut"][0] == 401  # type: ignore[index]
    assert world.provider.asked == ["/keys"]


async def test_keys_are_replaced_without_a_restart_and_withdrawn_ones_end(world: World) -> None:
    """Within ten minutes, whether the provider answers or not. part of row C12"""
    old = world.sign()
    assert (await world.ask(old))[0] == 200
    world.clock.advance(AGAIN_S)
    world.provider.keys = {"two": OTHER}
    new = world.sign(key=OTHER, kid="two")
    assert (await world.ask(new))[0] == 200
    world.clock.advance(TRUSTED_S)
    assert (await world.ask(old))[0] == 401

    world.provider.answer = lambda: web.Response(status=503, text="away")
    world.clock.advance(FRESH_S)
    assert (await world.ask(new))[0] == 200
    world.clock.advance(STALE_S - FRESH_S)
    status, said = await world.ask(new)
    assert (status, said["code"]) == (503, "unavailable")
    assert STALE_S + TRUSTED_S <= 600


ANSWERS: dict[str, Callable[[], web.StreamResponse]] = {
    "too large": lambda: web.Response(body=b" " * (300 << 10)),
    "elsewhere": lambda: web.Response(status=302, headers={"Location": "/.well-known/openid-configuration"}),
    "no keys": lambda: web.Response(text="<html>Sign in</html>"),
    "broken": lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}),
}


async def test_a_provider_that_sends_something_else_lets_nobody_in(world: World) -> None:
    """Too large, elsewhere, no keys, or broken: nobody is let in, and nothing of it is told; keys go on working."""
    for number, (why, answer) in enumerate(ANSWERS.items(), 1):
        world.provider.answer = answer
        status, said = await world.ask(world.sign())
        assert (status, said["code"]) == (503, "unavailable"), why
        assert world.provider.url not in str(said)
        assert len(world.provider.asked) == number
        world.clock.advance(AGAIN_S)
    assert (await world.api.ask("GET", "/v1/runs")).status == 200
    world.provider.answer = None
    assert (await world.ask(world.sign()))[0] == 200


async def test_where_keys_are_may_come_from_the_provider_itself(tmp_path: Path) -> None:
    """OpenID Connect Discovery; what it says of somebody else, or of a place in our network, is not believed."""
    async with provide() as provider, open_world(tmp_path, provider=provider, jwks_url="") as world:
        assert (await world.ask(world.sign()))[0] == 200
        assert provider.asked == ["/.well-known/openid-configuration", "/keys"]
        settings = world.api.runtime.settings
        trusting = structs.replace(
            settings, server=ServerSettings(issuers=(build_issuer(provider, jwks_url=""),))
        )  # fmt: skip
        for facts in (
            {"said_issuer": "https://evil.test"},
            {"keys_url": provider.url.replace("127.0.0.1", "127.0.0.2") + "/keys"},
            {"keys_url": "http://evil.test/keys"},
            {"keys_url": "file:///etc/passwd"},
        ):
            provider.asked.clear()
            provider.said_issuer, provider.keys_url = facts.get("said_issuer", ""), facts.get("keys_url", "")
            async with open_tokens(trusting, clock=world.clock) as tokens:
                assert tokens is not None
                with pytest.raises(Unavailable):
                    await tokens.verify(world.sign())
            assert provider.asked == ["/.well-known/openid-configuration"]


async def test_a_revoked_key_and_a_token_that_is_over_end_their_streams(world: World) -> None:
    """A key is refused five seconds later; what it reads ends at the next look, 30 seconds later at most.

    part of row C12
    """
    made = await world.api.keys.create(tenant="acme", principal="ann", role="operator")
    text = made.text.reveal()
    bearer = {"authorization": f"Bearer {text}"}
    token = {"authorization": f"Bearer {world.sign(exp=int(world.clock.now()) + 2)}"}
    assert (await world.ask(text))[0] == 200
    await world.doorkeeper.identify(token)
    ring = KeyRing(world.api.runtime.store.values, pepper=PEPPER, clock=world.clock)  # another process
    await ring.revoke(made.key.id, tenant="acme")
    world.clock.advance(KEY_TRUSTED_S)
    assert (await world.ask(text))[0] == 401
    world.clock.advance(2 + LEEWAY_S)

    async def quiet() -> AsyncGenerator[AnyEvent]:
        await asyncio.Event().wait()
        yield

    for headers in (bearer, token):
        said: list[bytes] = []

        async def write(frame: bytes, said: list[bytes] = said) -> None:
            said.append(frame)

        async with asyncio.timeout(30):
            await write_events(
                write,
                quiet(),
                request_id="r",
                closing=asyncio.Event(),
                check=lambda headers=headers: world.doorkeeper.identify(headers),
                beat_s=0.01,
            )
        assert b'"code":"unauthenticated"' in said[-1]
    assert BEAT_S + KEY_TRUSTED_S <= 30
