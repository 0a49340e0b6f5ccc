"""Are secrets read where they are kept, and is a change noticed without a restart?"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from msgspec import structs

from quorate import Agent
from quorate.assembly import open_gateway, open_runtime
from quorate.cli.checks import check_secrets
from quorate.errors import Forbidden, InvalidFiles, InvalidInput, NotFound, QuorateError, Unauthenticated, Unavailable
from quorate.models.deadlines import Timeouts
from quorate.models.plan import GatewayPlan
from quorate.runtime.access import find_peppers, open_keys
from quorate.runtime.documents import Documents
from quorate.runtime.vault import Login, VaultSecrets
from quorate.security.keys import SETTLED_S, KeyRing
from quorate.security.secrets import Secret
from quorate.settings import load_settings
from quorate.settings.values import SecretSettings
from quorate.testing import ManualClock
from quorate.testing.provider_server import provider_server

PATIENCE_S = 30
OLD, NEW = "sk-canary-old-0123456789", "sk-canary-new-0123456789"
PEPPERS = [bytes(range(start, start + 32)).hex() for start in (0, 100)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


def mount(place: Path, **secrets: str) -> Path:
    """Put secrets where Kubernetes would: each name a link through `..data`, which is swapped in one step."""
    number = len(list(place.glob("..20*"))) if place.exists() else 0
    version = place / f"..20_{number}"
    version.mkdir(parents=True)
    for name, value in secrets.items():
        (version / name).write_text(value)
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"..data/{name}")
    (place / "..next").symlink_to(version.name)
    os.rename(place / "..next", place / "..data")
    return place


@dataclass
class Vault:
    """What answers as Vault does: a key-value engine of version 2, tokens, and the login of Kubernetes."""

    url: str = ""
    secrets: dict[str, dict[str, object]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"root"})
    accounts: dict[str, str] = field(default_factory=lambda: {"account-of-the-pod": "quorate"})
    lease_s: int = 3600
    logins: int = 0
    namespaces: set[str] = field(default_factory=set)
    answer: Callable[[], web.Response] | None = None
    wait: Callable[[web.Request], Awaitable[web.Response]] | None = None

    async def read(self, request: web.Request) -> web.Response:
        if self.wait is not None:
            return await self.wait(request)
        if self.answer is not None:
            return self.answer()
        self.namespaces.add(request.headers.get("X-Vault-Namespace", ""))
        if request.headers.get("X-Vault-Token") not in self.tokens:
            return web.json_response({"errors": ["permission denied"]}, status=403)
        found = self.secrets.get(f"{request.match_info['mount']}/{request.match_info['path']}")
        if found is None:
            return web.json_response({"errors": []}, status=404)
        return web.json_response({
            "request_id": "1", "lease_duration": 0, "renewable": False,
            "data": {"data": found, "metadata": {"version": 3, "destroyed": False}},
        })  # fmt: skip

    async def log_in(self, request: web.Request) -> web.Response:
        said = await request.json()
        if self.accounts.get(said["jwt"]) != said["role"]:
            return web.json_response({"errors": ["service account name not authorized"]}, status=403)
        self.logins += 1
        token = f"given-{self.logins}"
        self.tokens.add(token)
        return web.json_response({"auth": {"client_token": token, "lease_duration": self.lease_s, "renewable": True}})


@pytest.fixture
async def vault() -> AsyncIterator[Vault]:
    vault, app = Vault(), web.Application()
    app.add_routes([
        web.get("/v1/{mount}/data/{path:.+}", vault.read),
        web.post("/v1/auth/kubernetes/login", vault.log_in),
    ])  # fmt: skip
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        vault.url = f"http://{host}:{port}"
        yield vault
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_reader(vault: Vault, clock: ManualClock | None = None, **login: object) -> AsyncIterator[VaultSecrets]:
    documents = Documents()
    known = structs.replace(Login(), **(login or {"token": Secret("root")}))
    try:
        yield VaultSecrets(vault.url, known, documents=documents, clock=clock or ManualClock())
    finally:
        await documents.aclose()


async def test_a_providers_key_is_replaced_while_calls_go_on(tmp_path: Path) -> None:
    """Kubernetes swaps the whole directory; the next call after the next look has the new key. part of row C20"""
    place = mount(tmp_path / "secrets", openai=OLD, other="x")
    (tmp_path / "quorate.toml").write_text(
        f'[openai]\napi_key = "${{file:{place}/openai}}"\n[secrets]\nrefresh_s = 0.02\n'
    )
    async with provider_server(["One.", "Two."]) as server:
        settings = load_settings(tmp_path, {"OPENAI_BASE_URL": server.url})
        async with open_runtime(settings) as runtime:
            assert runtime.gateway is not None
            agent = Agent("asker", model=runtime.gateway.find_model("openai:gpt-5.2"))
            first = await runtime.submit("?", agent=agent)
            assert (await first.wait()).output == "One."
            mount(place, openai=NEW, other="x")
            assert settings.openai.api_key is not None
            await until(lambda: settings.find_credential("OPENAI_API_KEY") == NEW)
            second = await runtime.submit("?", agent=agent)
            assert (await second.wait()).output == "Two."
        sent = [request.headers["authorization"] for request in server.requests]
    assert sent == [f"Bearer {OLD}", f"Bearer {NEW}"]
    assert settings.list_secret_texts().count(OLD) == 1


async def test_a_directory_of_secrets_is_followed_too(tmp_path: Path) -> None:
    """Each of its files is a setting or a variable by its name. part of row C20"""
    place = mount(tmp_path / "secrets", OPENAI_API_KEY=OLD, GROQ_API_KEY="gsk-old", quorate_server__secret=PEPPERS[0])
    settings = load_settings(tmp_path, {"QUORATE_SECRETS_DIR": "secrets", "QUORATE_SECRETS__REFRESH_S": "0.02"})
    async with open_runtime(settings):
        mount(place, OPENAI_API_KEY=NEW, GROQ_API_KEY="gsk-new", quorate_server__secret=PEPPERS[1])
        await until(lambda: settings.find_credential("GROQ_API_KEY") == "gsk-new")
        assert settings.find_credential("OPENAI_API_KEY") == NEW
        assert settings.server.secret is not None
        assert settings.server.secret.reveal() == PEPPERS[1]


async def test_what_makes_no_sense_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Emptied, gone, too short: the last good value stays, and the log says where, once, without a value."""
    file = tmp_path / "pepper"
    file.write_text(PEPPERS[0])
    (tmp_path / "quorate.toml").write_text(
        '[server]\nsecret = "${file:pepper}"\n[secrets]\nrefresh_s = 0.01\n'
    )  # fmt: skip
    settings = load_settings(tmp_path, {})
    assert settings.server.secret is not None
    caplog.set_level(logging.INFO, logger="quorate.secrets")
    async with open_runtime(settings):
        for code, change in {
            "invalid_input": lambda: file.write_text("canary-too-short"),
            "not_found": file.unlink,
        }.items():
            change()
            await until(lambda code=code: any(getattr(one, "code", "") == code for one in caplog.records))
            assert settings.server.secret.reveal() == PEPPERS[0]
        file.write_text(PEPPERS[1])
        await until(lambda: settings.server.secret is not None and settings.server.secret.reveal() == PEPPERS[1])
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.__dict__["place"] for record in warned] == [f"file:{file}"] * len(warned)
    assert "canary" not in "".join(str(vars(record)) for record in caplog.records)


async def test_the_secret_of_keys_is_replaced_and_keys_go_on(tmp_path: Path) -> None:
    """Keys that were hashed with the one before work, and are hashed anew when they are used. part of row C20"""
    (tmp_path / "new").write_text(PEPPERS[0])
    (tmp_path / "old").write_text(PEPPERS[0])
    (tmp_path / "quorate.toml").write_text(
        '[server]\nsecret = "${file:new}"\nformer_secret = "${file:old}"\n[secrets]\nrefresh_s = 0.01\n'
    )  # fmt: skip
    settings = load_settings(tmp_path, {})
    async with open_runtime(settings) as runtime:
        clock = ManualClock()
        keys = KeyRing(runtime.store.values, pepper=find_peppers(settings), clock=clock)
        used = await keys.create(tenant="acme", principal="ann", role="viewer")
        unused = await keys.create(tenant="acme", principal="bob", role="viewer")
        assert await keys.verify(used.text.reveal())
        (tmp_path / "new").write_text(PEPPERS[1])
        await until(lambda: settings.server.secret is not None and settings.server.secret.reveal() == PEPPERS[1])
        older = KeyRing(runtime.store.values, pepper=bytes.fromhex(PEPPERS[0]))
        for key in (used, unused):
            assert (await keys.verify(key.text.reveal())).principal == key.key.principal
            # Other servers may not have noticed yet: what they must know is not changed under them.
            assert (await older.verify(key.text.reveal())).principal == key.key.principal
        clock.advance(SETTLED_S)
        assert (await keys.verify(used.text.reveal())).principal == "ann"
        newest = KeyRing(runtime.store.values, pepper=bytes.fromhex(PEPPERS[1]))
        assert (await newest.verify(used.text.reveal())).principal == "ann"
        with pytest.raises(Unauthenticated):
            await newest.verify(unused.text.reveal())


async def test_vault_gives_a_field_of_the_newest_version(vault: Vault) -> None:
    """part of row C20"""
    vault.secrets["secret/team/providers"] = {"groq": OLD, "number": 5, "empty": "", "long": "x" * 70_000}
    async with open_reader(vault) as reader:
        assert await reader.read("secret/team/providers#groq") == OLD
        vault.secrets["secret/team/providers"]["groq"] = NEW
        assert await reader.read("secret/team/providers#groq") == NEW
        for name, kind in {
            "secret/team/providers#number": InvalidInput,
            "secret/team/providers#empty": InvalidInput,
            "secret/team/providers#long": InvalidInput,
            "secret/team/providers#none": NotFound,
            "secret/team/other#groq": NotFound,
            "../sys/raw#x": InvalidInput,
            "secret/../sys#x": InvalidInput,
        }.items():
            with pytest.raises(kind) as refused:
                await reader.read(name)
            assert NEW not in str(refused.value)


async def test_vault_knows_us_as_an_account_of_kubernetes(vault: Vault, tmp_path: Path) -> None:
    """A login lasts for a share of its life, and is made anew when Vault withdraws it before. part of row C20"""
    account, clock = tmp_path / "token", ManualClock()
    account.write_text("account-of-the-pod\n")
    vault.secrets["secret/quorate"] = {"pepper": PEPPERS[0]}
    login = {"role": "quorate", "token_file": str(account), "namespace": "team-a"}
    async with open_reader(vault, clock, **login) as reader:
        for _ in range(3):
            assert await reader.read("secret/quorate#pepper") == PEPPERS[0]
        assert (vault.logins, vault.namespaces) == (1, {"team-a"})
        clock.advance(vault.lease_s * 2 / 3)
        await reader.read("secret/quorate#pepper")
        assert vault.logins == 2
        vault.tokens = {"root"}
        await reader.read("secret/quorate#pepper")
        assert vault.logins == 3
        account.write_text("somebody-else")
        clock.advance(vault.lease_s)
        with pytest.raises(Unauthenticated, match="does not let us in as 'quorate'") as refused:
            await reader.read("secret/quorate#pepper")
        assert "somebody-else" not in str(refused.value)


async def test_what_vault_says_when_it_fails_is_not_repeated(vault: Vault) -> None:
    """Sealed, garbled, or not for us: a typed error that shows neither the token nor what was sent."""
    canary = f"canary {OLD} root"
    answers: list[tuple[Callable[[], web.Response], type[QuorateError]]] = [
        (lambda: web.Response(status=503, text=canary), Unavailable),
        (lambda: web.Response(status=403, text=canary), Forbidden),
        (lambda: web.Response(text=canary), Unavailable),
        (lambda: web.json_response({"data": {"data": {"x": 1}, "y": canary}, "z": canary}), NotFound),
        (lambda: web.json_response({"data": {"data": canary}}), Unavailable),
        (lambda: web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"}), Unavailable),
    ]
    async with open_reader(vault) as reader:
        for answer, kind in answers:
            vault.answer = answer
            with pytest.raises(kind) as refused:
                await reader.read("secret/quorate#pepper")
            chain: BaseException | None = refused.value
            while chain is not None:
                assert OLD not in f"{chain!r}{vars(chain)}"
                chain = chain.__cause__


async def test_a_vault_that_never_answers_holds_nothing_up(vault: Vault) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    vault.wait = hang
    documents = Documents(timeouts=Timeouts(connect_s=0.2, first_s=0.2, idle_s=0.2, total_s=0.2))
    reader = VaultSecrets(vault.url, Login(token=Secret("root")), documents=documents)
    try:
        with pytest.raises(Unavailable, match="did not answer in time"):
            await reader.read("secret/quorate#pepper")
    finally:
        await documents.aclose()


async def test_secrets_of_vault_are_there_when_a_runtime_is(vault: Vault, tmp_path: Path) -> None:
    """They are read before anything opens and followed while it is open; all that lack are named. part of row C20"""
    vault.secrets["secret/quorate"] = {"pepper": PEPPERS[0], "groq": OLD}
    (tmp_path / "quorate.toml").write_text(
        f"""
        [server]
        secret = "${{vault:secret/quorate#pepper}}"
        [secrets]
        refresh_s = 0.02
        vault_url = "{vault.url}"
        vault_token = "${{file:token}}"
        [secrets.credentials]
        GROQ_API_KEY = "${{vault:secret/quorate#groq}}"
        """
    )
    (tmp_path / "token").write_text("root")
    settings = load_settings(tmp_path, {})
    assert settings.server.secret is not None
    with pytest.raises(Unavailable, match="not been read yet"):
        settings.server.secret.reveal()
    async with open_runtime(settings) as runtime:
        assert settings.find_credential("GROQ_API_KEY") == OLD
        assert await open_keys(runtime).create(tenant="acme", principal="ann", role="viewer")
        vault.secrets["secret/quorate"] = {"pepper": PEPPERS[0], "groq": NEW}
        await until(lambda: settings.find_credential("GROQ_API_KEY") == NEW)
        vault.answer = lambda: web.Response(status=503)
        assert settings.find_credential("GROQ_API_KEY") == NEW
    vault.answer = None
    vault.secrets = {}
    with pytest.raises(InvalidFiles) as refused:
        async with open_runtime(load_settings(tmp_path, {})):
            pass
    assert [fault.partition(": ")[0] for fault in refused.value.faults] == [
        "vault:secret/quorate#groq", "vault:secret/quorate#pepper",
    ]  # fmt: skip
    nowhere = load_settings(tmp_path, {})
    with pytest.raises(InvalidFiles, match=r"secrets\.vault_url"):
        async with open_runtime(structs.replace(nowhere, secrets=SecretSettings())):
            pass


async def test_commands_read_secrets_before_they_need_them(vault: Vault, tmp_path: Path) -> None:
    """A gateway without a runtime has its keys, and `quorate doctor` says which secret cannot be read."""
    vault.secrets["secret/quorate"] = {"key": NEW}
    (tmp_path / "quorate.toml").write_text(
        f"""
        [openai]
        api_key = "${{vault:secret/quorate#key}}"
        [secrets]
        vault_url = "{vault.url}"
        vault_token = "root"
        """
    )
    settings = load_settings(tmp_path, {})
    async with open_gateway(settings, plan=GatewayPlan()):
        assert settings.find_credential("OPENAI_API_KEY") == NEW
    found = await asyncio.to_thread(check_secrets, load_settings(tmp_path, {}))
    assert [(check.status, check.detail) for check in found] == [("ok", "1 are where the settings say")]
    vault.tokens.clear()
    found = await asyncio.to_thread(check_secrets, load_settings(tmp_path, {}))
    assert [check.status for check in found] == ["fault"]
    assert found[0].detail.startswith("vault:secret/quorate#key: Vault does not let us read 'secret/quorate#key'")


def test_nothing_but_stars_is_shown(tmp_path: Path) -> None:
    """Where a secret is kept is no secret, and what it is, is."""
    (tmp_path / "key").write_text(OLD)
    (tmp_path / "quorate.toml").write_text('[openai]\napi_key = "${file:key}"\n')
    key = load_settings(tmp_path, {}).openai.api_key
    assert key is not None
    assert key.reveal() == OLD
    assert OLD not in f"{key}{key!r}{key:>40}{json.dumps(str(key))}"
