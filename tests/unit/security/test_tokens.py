"""Does a signed token let in whom its issuer means, and nobody else?"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import structs

from quorate.errors import InvalidInput, Unauthenticated, Unavailable
from quorate.security.issuers import Issuer
from quorate.security.tokens import (
    AGAIN_S,
    FRESH_S,
    LEEWAY_S,
    MAX_TRUSTED,
    STALE_S,
    TRUSTED_S,
    TokenVerifier,
    name_principal,
)
from quorate.testing import ManualClock

RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
URL = "https://id.test/keys"
ISSUER = Issuer(
    issuer="https://id.test", audience="quorate", jwks_url=URL, tenant="acme",
    roles={"ops": "operator", "boss": "admin"}, scope_claim="",
)  # fmt: skip


def publish(**keys: object) -> bytes:
    """The document of keys of an issuer, as providers write it."""
    rows = list[dict[str, object]]()
    for name, key in keys.items():
        algorithm = {
            rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        }
        kind = next((made for base, made in algorithm.items() if isinstance(key, base)), jwt.algorithms.OKPAlgorithm)
        rows.append({**json.loads(kind.to_jwk(key.public_key())), "kid": name, "use": "sig"})  # type: ignore[attr-defined]
    return json.dumps({"keys": rows}).encode()


class Provider:
    """An identity provider: what it publishes, and how often it was asked."""

    def __init__(self, **keys: object) -> None:
        self.document = publish(**keys)
        self.asked = 0
        self.is_away = False

    async def fetch(self, url: str, /, *, is_named: bool) -> bytes:
        assert (url, is_named) == (URL, True)
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return self.document


def build(issuer: Issuer = ISSUER, **keys: object) -> tuple[TokenVerifier, Provider, ManualClock]:
    clock, provider = ManualClock(), Provider(**(keys or {"one": RSA}))
    return TokenVerifier([issuer], fetch=provider.fetch, clock=clock), provider, clock


def sign(
    clock: ManualClock, *, key: object = RSA, alg: str = "RS256", kid: str | None = "one", **claims: object
) -> str:
    now = int(clock.now())
    body = {
        "iss": "https://id.test", "aud": "quorate", "sub": "ann", "iat": now, "exp": now + 600, "roles": ["ops"], **claims,
    }  # fmt: skip
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode({k: v for k, v in body.items() if v is not None}, key, algorithm=alg, headers=headers)  # type: ignore[arg-type]


async def test_a_token_lets_in_whom_it_names() -> None:
    """part of row C12"""
    verifier, provider, clock = build()
    identity = await verifier.verify(sign(clock))
    assert (identity.tenant, identity.principal, identity.role, identity.scopes) == ("acme", "ann", "operator", ())
    assert identity.expires == clock.now() + 600
    await verifier.verify(sign(clock, sub="bob"))
    assert provider.asked == 1
    token = sign(clock, sub="bob")
    assert verifier.knows(token)
    clock.advance(TRUSTED_S)
    assert not verifier.knows(token)
    assert not verifier.knows("é")


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
async def test_each_kind_of_key_signs(key: object, alg: str) -> None:
    verifier, _, clock = build(one=key)
    assert await verifier.verify(sign(clock, key=key, alg=alg))


def forge_none(clock: ManualClock) -> str:
    _, body, _ = sign(clock).split(".")
    return f"{_pack({'alg': 'none', 'kid': 'one'})}.{body}."


def forge_hmac(clock: ManualClock) -> str:
    """The public key taken for a shared secret: the classic confusion."""
    _, body, _ = sign(clock).split(".")
    head = _pack({"alg": "HS256", "kid": "one", "typ": "JWT"})
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def change_body(clock: ManualClock) -> str:
    head, body, end = sign(clock).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{_pack({**claims, 'roles': ['boss']})}.{end}"


def _pack(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


WRONG: dict[str, Callable[[ManualClock], str]] = {
    "empty": lambda clock: "",
    "no token": lambda clock: "a.b.c",
    "cut": lambda clock: sign(clock)[:-8],
    "huge": lambda clock: sign(clock, more="x" * 20_000),
    "not ASCII": lambda clock: sign(clock) + "é",
    "another key": lambda clock: sign(clock, key=OTHER),
    "unknown key": lambda clock: sign(clock, kid="two"),
    "no key named": lambda clock: sign(clock, kid=None),
    "no signature": forge_none,
    "a public key as a secret": forge_hmac,
    "changed": change_body,
    "algorithm that is not allowed": lambda clock: sign(clock, alg="RS512"),
    "critical extension": lambda clock: jwt.encode(
        jwt.decode(sign(clock), options={"verify_signature": False}), RSA, "RS256", headers={"kid": "one", "crit": ["x"]}
    ),
    "another audience": lambda clock: sign(clock, aud="shop"),
    "no audience": lambda clock: sign(clock, aud=None),
    "another issuer": lambda clock: sign(clock, iss="https://evil.test"),
    "issuer that nearly is": lambda clock: sign(clock, iss="https://id.test/"),
    "no issuer": lambda clock: sign(clock, iss=None),
    "no end": lambda clock: sign(clock, exp=None),
    "no beginning": lambda clock: sign(clock, iat=None),
    "over": lambda clock: sign(clock, exp=int(clock.now() - LEEWAY_S)),
    "from the future": lambda clock: sign(clock, iat=int(clock.now() + LEEWAY_S + 5)),
    "not yet": lambda clock: sign(clock, nbf=int(clock.now() + LEEWAY_S + 5)),
    "no role": lambda clock: sign(clock, roles=["guests"]),
    "nobody": lambda clock: sign(clock, sub=""),
    "end is text": lambda clock: sign(clock, exp="never"),
}  # fmt: skip


@pytest.mark.parametrize("why", WRONG)
async def test_every_wrong_token_is_refused_alike(why: str) -> None:
    """None, confused, expired, for others, unsigned: the same words each time. part of row B11"""
    verifier, _, clock = build()
    await verifier.verify(sign(clock))
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(WRONG[why](clock))
    assert str(refused.value) == "The credential does not let you in: check that it is whole, and still valid."


async def test_a_key_of_one_kind_is_not_used_as_another() -> None:
    verifier, _, clock = build(one=EC)
    with pytest.raises(Unauthenticated):
        await verifier.verify(sign(clock, key=RSA, alg="RS256"))


async def test_a_token_ends_while_it_is_believed() -> None:
    verifier, _, clock = build()
    token = sign(clock, exp=int(clock.now()) + 2)
    await verifier.verify(token)
    clock.advance(2 + LEEWAY_S)
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_new_keys_are_found_and_nobody_makes_us_ask_for_them_at_will() -> None:
    """A thousand tokens that name keys which are not there are one question, and the old keys go on."""
    verifier, provider, clock = build()
    await verifier.verify(sign(clock))
    for number in range(1000):
        with pytest.raises(Unauthenticated):
            await verifier.verify(sign(clock, kid=f"k{number}", key=ED, alg="EdDSA"))
    assert provider.asked == 1
    clock.advance(AGAIN_S)
    provider.document = publish(one=RSA, two=OTHER)
    assert await verifier.verify(sign(clock, key=OTHER, kid="two"))
    assert await verifier.verify(sign(clock))
    assert provider.asked == 2


async def test_a_provider_that_is_away_harms_nobody_whose_key_is_known() -> None:
    verifier, provider, clock = build()
    await verifier.verify(sign(clock))
    provider.is_away = True
    clock.advance(FRESH_S + 1)
    assert await verifier.verify(sign(clock))
    lost, provider, clock = build()
    provider.is_away = True
    with pytest.raises(Unavailable, match="let nobody in"):
        await lost.verify(sign(clock))
    with pytest.raises(Unavailable):
        await lost.verify(sign(clock))
    assert provider.asked == 1


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": [{"kid": "one"}]}', b"<html>"])
async def test_a_document_that_holds_no_keys_lets_nobody_in(document: bytes) -> None:
    verifier, provider, clock = build()
    provider.document = document
    with pytest.raises(Unavailable):
        await verifier.verify(sign(clock))


async def test_tenants_roles_and_scopes_come_from_claims() -> None:
    issuer = Issuer(
        issuer="https://id.test", audience="quorate", jwks_url=URL, default_role="viewer", scope_claim="scope",
        roles={"boss": "admin", "ops": "operator"},
    )  # fmt: skip
    verifier, _, clock = build(issuer)
    identity = await verifier.verify(sign(clock, tenant="globex", roles="ops boss", scope="runs:read state:*"))
    assert (identity.tenant, identity.role, identity.scopes) == ("globex", "admin", ("runs:read", "state:*"))
    viewer = await verifier.verify(sign(clock, tenant="globex", roles=None, scope="runs:read"))
    assert viewer.role == "viewer"
    for wrong in ({"tenant": "Glo.bex"}, {"tenant": None}, {"tenant": "globex", "scope": "everything"}):
        with pytest.raises(Unauthenticated):
            await verifier.verify(sign(clock, **wrong))
    nothing = await verifier.verify(sign(clock, tenant="globex", sub="eve"))
    assert nothing.scopes == ("none:none",)


async def test_a_person_whose_name_is_no_id_has_one_that_stays() -> None:
    verifier, _, clock = build()
    first = await verifier.verify(sign(clock, sub="auth0|42"))
    second = await verifier.verify(sign(clock, sub="auth0|42", jti="x"))
    other = await verifier.verify(sign(clock, sub="auth0|43"))
    assert first.principal == second.principal == name_principal("https://id.test", "auth0|42")
    assert first.principal != other.principal


async def test_whoever_leaves_while_keys_are_asked_for_keeps_nobody_out() -> None:
    """The next one asks for them, and does not wait for what nobody waits for any more."""
    clock, provider, asked = ManualClock(), Provider(one=RSA), list[asyncio.Event]()

    async def fetch(url: str, /, *, is_named: bool) -> bytes:
        if not asked:
            asked.append(asyncio.Event())
            begun.set()
            await asked[0].wait()  # for ever
        return await provider.fetch(url, is_named=is_named)

    begun, verifier = asyncio.Event(), TokenVerifier([ISSUER], fetch=fetch, clock=clock)
    leaving = asyncio.create_task(verifier.verify(sign(clock)))
    await begun.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert (await verifier.verify(sign(clock))).principal == "ann"


async def test_what_is_believed_is_bounded() -> None:
    verifier, _, clock = build(one=ED)
    tokens = [sign(clock, key=ED, alg="EdDSA", jti=str(number)) for number in range(50)]
    for token in tokens:
        await verifier.verify(token)
    assert len(verifier._trusted) <= MAX_TRUSTED


def test_all_faults_of_the_settings_are_told_at_once() -> None:
    wrong = Issuer(issuer="a", audience="", jwks_url="http://id.test", algorithms=("HS256", "none"), tenant="A")
    with pytest.raises(InvalidInput) as refused:
        TokenVerifier([wrong, wrong], fetch=Provider().fetch)
    for words in ("'HS256'", "'none'", "no audience", "over https", "is no id", "nobody a role", "comes twice"):
        assert words in refused.value.message


def pack_raw(clock: ManualClock, body: str) -> str:
    """Sign what no library would write."""
    head = _pack({"alg": "RS256", "kid": "one", "typ": "JWT"})
    middle = base64.urlsafe_b64encode(body.encode()).rstrip(b"=").decode()
    mac = RSA.sign(f"{head}.{middle}".encode(), padding.PKCS1v15(), SHA256())
    return f"{head}.{middle}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize("never", ["NaN", "Infinity", "1e999", "1" + "0" * 400, "true", '"x"', "null"])
async def test_a_token_without_an_end_lets_nobody_in(never: str) -> None:
    """Though its issuer signed it. part of row C12"""
    verifier, _, clock = build()
    now = int(clock.now())
    body = f'{{"iss":"https://id.test","aud":"quorate","sub":"ann","iat":{now},"exp":{never},"roles":["ops"]}}'
    assert await verifier.verify(pack_raw(clock, body.replace(f'"exp":{never}', f'"exp":{now + 60}')))
    with pytest.raises(Unauthenticated):
        await verifier.verify(pack_raw(clock, body))


async def test_a_token_that_nests_deeply_is_none() -> None:
    verifier, _, clock = build()
    with pytest.raises(Unauthenticated):
        await verifier.verify(pack_raw(clock, "[" * 5_000))


async def test_keys_that_cannot_be_looked_at_again_work_for_a_while_only() -> None:
    """Whoever keeps us from the issuer keeps a withdrawn key alive no longer than that."""
    verifier, provider, clock = build()
    await verifier.verify(sign(clock))
    provider.is_away = True
    clock.advance(STALE_S / 2)
    assert await verifier.verify(sign(clock))
    clock.advance(STALE_S)
    with pytest.raises(Unavailable):
        await verifier.verify(sign(clock))


def test_nobody_is_named_as_somebody_else() -> None:
    known = name_principal("https://id.test", "Ann Smith")
    assert name_principal("https://id.test", known) != known


@pytest.mark.parametrize(
    "url", ["http://evil.test/?x=://127.0.0.1", "http://127.0.0.1.evil.test/keys", "ftp://127.0.0.1"]
)
def test_keys_come_over_https(url: str) -> None:
    with pytest.raises(InvalidInput, match="https"):
        TokenVerifier([structs.replace(ISSUER, jwks_url=url)], fetch=Provider(one=RSA).fetch)
