"""Does a secret come out anywhere: in logs, traces, metrics, answers, the record, dumps or what commands print?

Every secret there is holds a canary. Then everything is done that uses one, well and badly, and each output is looked
through for it.
"""

from __future__ import annotations

import asyncio
import base64
import faulthandler
import io
import logging
import secrets
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import structs
from tests.integration.server.conftest import Api
from tests.integration.telemetry.receivers import http_receiver

from quorate import Agent, tool
from quorate.assembly import open_runtime
from quorate.cli import main
from quorate.models.scripted import ScriptedModel, call
from quorate.runtime.access import open_keys, open_tokens
from quorate.runtime.webhooks.book import Webhooks
from quorate.runtime.webhooks.webhook import Webhook
from quorate.server.access import Doorkeeper
from quorate.server.app import Server
from quorate.server.listen import open_listener
from quorate.settings import Settings, load_settings
from quorate.settings.keys import list_keys
from quorate.telemetry.logs import JsonFormatter, TextFormatter
from quorate.testing.provider_server import Answer, Scripted, Sent, provider_server

ED = ed25519.Ed25519PrivateKey.generate()


class Canaries:
    """Values that must not come out, by what they are."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def plant(self, what: str, value: str = "") -> str:
        self.known[what] = value or f"canary-{secrets.token_hex(12)}"
        return self.known[what]

    def find(self, text: str | bytes) -> list[str]:
        """Name those that are in a text."""
        data = text.encode() if isinstance(text, str) else text
        return [what for what, value in self.known.items() if value.encode() in data]


def plant_settings(place: Path, canaries: Canaries, *, provider: str = "", receiver: str = "") -> Settings:
    """Write settings in which every secret is a canary; a new secret setting that is not here is found."""
    plant = canaries.plant
    keys = plant("artifacts.keys", base64.b64encode(secrets.token_bytes(32)).decode())
    values = {
        "openai.api_key": plant("openai.api_key"),
        "artifacts.keys": f"k1:{keys}",
        "bus.token": plant("bus.token"),
        "server.secret": plant("server.secret", secrets.token_hex(32)),
        "server.former_secret": plant("server.former_secret", secrets.token_hex(32)),
        "council.secret": plant("council.secret", secrets.token_hex(32)),
        "council.former_secret": plant("council.former_secret", secrets.token_hex(32)),
        "telemetry.headers": f"x-key={plant('telemetry.headers')}",
        "secrets.vault_token": plant("secrets.vault_token"),
    }
    lines = [
        "[secrets.credentials]",
        f'GROQ_API_KEY = "{plant("GROQ_API_KEY")}"',
        "[probe.databases]",
        f'orders = "postgresql://reader:{plant("probe.databases")}@127.0.0.1:9/orders"',
    ]
    kept_by_name = {"secrets.credentials", "probe.databases"}
    assert {key.name for key in list_keys() if key.is_secret} == {*values, *kept_by_name}
    (place / "kept").write_text(values.pop("bus.token"))
    lines += ["[bus]", 'token = "${file:kept}"']
    for name, value in values.items():
        table, _, key = name.partition(".")
        lines += [f"[{table}]", f'{key} = "{value}"']
        if name == "openai.api_key" and provider:
            lines.append(f'base_url = "{provider}"')
        if name == "telemetry.headers":
            lines += ["content = true", "interval_s = 0.05", *([f'endpoint = "{receiver}"'] if receiver else [])]
    lines += ["[webhooks]", "enabled = true", 'allow = ["loopback"]']
    (place / "quorate.toml").write_text("\n".join(_join(lines)))
    return load_settings(place, {"MISTRAL_API_KEY": plant("MISTRAL_API_KEY")})


def _join(lines: list[str]) -> list[str]:
    """Put what is in one table below one heading."""
    tables: dict[str, list[str]] = {}
    heading = ""
    for line in lines:
        heading = line if line.startswith("[") and line.endswith("]") and "=" not in line else heading
        tables.setdefault(heading, [])
        if line != heading:
            tables[heading].append(line)
    return [line for heading, rows in tables.items() for line in (heading, *rows)]


@contextmanager
def listen(settings: Settings) -> Iterator[Callable[[], str]]:
    """Take all that is logged, as text and as JSON, down to the last detail."""
    taken = io.StringIO()
    form, known = "%(asctime)s %(levelname)s %(name)s %(message)s", settings.list_secret_texts
    handlers = [logging.StreamHandler(taken), logging.StreamHandler(taken)]
    handlers[0].setFormatter(JsonFormatter(secrets=known))
    handlers[1].setFormatter(TextFormatter(form, secrets=known))
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield taken.getvalue
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)


@asynccontextmanager
async def serve_as_told(settings: Settings, *agents: Agent) -> AsyncIterator[Api]:
    """Serve as `quorate serve` does, on a free port."""
    async with (
        open_runtime(settings, agents=agents) as runtime,
        open_tokens(settings) as tokens,
        aiohttp.ClientSession() as http,
    ):
        keys = open_keys(runtime)
        server = Server(runtime, Doorkeeper(keys, tokens=tokens))
        async with open_listener(server, host="127.0.0.1", port=0) as (listener, port):
            yield Api(f"http://127.0.0.1:{port}", runtime, keys, server, listener, http)


def build_agents(canaries: Canaries, settings: Settings) -> list[Agent]:
    """An agent whose tool logs and raises what it should not."""

    @tool(effect="idempotent")
    async def blab() -> str:
        """Say too much."""
        found = settings.find_credential("GROQ_API_KEY")
        logging.getLogger("tool").error("the key is %s", found)
        logging.getLogger("tool").warning("sent", extra={"header": f"Bearer {canaries.known['API key']}"})
        raise ConnectionError(f"refused for {found}")

    return [Agent("blabber", model=ScriptedModel([call("blab"), "Sorry."]), tools=[blab])]


async def use_everything(api: Api, canaries: Canaries) -> list[str]:
    """Do what uses secrets, well and badly; return what callers were answered."""
    said: list[str] = []
    made = await api.keys.create(tenant="default", principal="ann", role="admin")
    key = canaries.plant("API key", made.text.reveal())
    token = canaries.plant("signed token", jwt.encode({"iss": "https://id.test"}, ED, "EdDSA", headers={"kid": "one"}))
    bearer = {"Authorization": f"Bearer {key}"}

    async def ask(method: str, path: str, headers: dict[str, str] | None = None, body: object = None) -> None:
        answer = await api.ask(method, path, role=None, headers=bearer if headers is None else headers, body=body)
        said.append(f"{answer.status} {dict(answer.headers)} {answer.data.decode('utf-8', 'replace')}")

    for headers in (
        {"Authorization": f"Basic {key}"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {key[:-1]}"},
        {"Authorization": f"Bearer  {key}"},
        {"X-Api-Key": key},
        {"Cookie": f"session={token}"},
    ):
        await ask("GET", "/v1/runs", headers)
    await ask("GET", "/v1/runs")
    await ask("GET", f"/v1/runs/{key}", {})
    await ask("GET", "/health/detailed")
    chat = {"model": "openai:gpt-5.2", "messages": [{"role": "user", "content": "?"}]}
    for _ in range(2):
        await ask("POST", "/openai/v1/chat/completions", body=chat)
    await ask("POST", "/v1/runs?wait=30", body={"task": "x", "agent": "blabber"})
    webhooks = Webhooks(api.runtime)
    _, secret = await webhooks.add(Webhook(id="hook", url="http://127.0.0.1:9/", events=("run.*",)))
    canaries.plant("secret of a webhook", secret.reveal())
    canaries.plant("bytes of it", secret.reveal().removeprefix("whsec_"))
    said.append(f"{await webhooks.test('hook')!r} {await webhooks.show('hook')!r}")
    # A hash stands for the key where it is looked up, but is none of a caller's business.
    said.append(f"{made.key!r}".replace(made.key.digest, ""))
    return said


async def test_no_secret_comes_out_of_what_runs(tmp_path: Path) -> None:
    """Logs in both forms, traces, metrics, answers, the database, reprs, tracebacks and a dump of all threads.

    part of row C20
    """
    canaries = Canaries()

    def answer(sent: Sent) -> Scripted:
        """Once well; then refuse, and say which key was wrong, as some providers do."""
        key = canaries.known["openai.api_key"]
        return "Fine." if len(provider.requests) < 2 else Answer(status=401, code=f"wrong key {key}")

    async with http_receiver() as receiver, provider_server(answer) as provider:
        settings = plant_settings(tmp_path, canaries, provider=provider.url, receiver=receiver.url)
        with listen(settings) as read_log:
            async with serve_as_told(settings, *build_agents(canaries, settings)) as api:
                said = await use_everything(api, canaries)
                dump = tmp_path / "dump"
                with dump.open("w") as file:
                    faulthandler.dump_traceback(file, all_threads=True)
                shown = [f"{thing!r}" for thing in (settings, api.runtime.settings, vars(api.keys), api.server)]
            log = read_log()
        keys = [sent.headers.get("authorization", "") for sent in provider.requests]
    assert any(canaries.known["openai.api_key"] in key for key in keys)
    assert len(receiver.traces) > 0
    assert receiver.headers[0]["x-key"] == canaries.known["telemetry.headers"]
    outputs: dict[str, list[str | bytes]] = {
        "logs": [log],
        "traces": [one.SerializeToString() for one in receiver.traces],
        "metrics": [one.SerializeToString() for one in receiver.metrics],
        "answers": list(said),
        "dumps": [dump.read_text()],
        "reprs": list(shown),
    }
    found = {what: [name for one in texts for name in canaries.find(one)] for what, texts in outputs.items()}
    assert found == {what: [] for what in outputs}
    assert "401" in "".join(said)
    assert "the key is ********" in log


async def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    """Neither a key nor what keys are hashed or encrypted with; what a webhook signs with is encrypted. part of C20"""
    canaries = Canaries()
    async with provider_server(["Fine.", "Fine."]) as provider:
        settings = plant_settings(tmp_path, canaries, provider=provider.url)
        settings = structs.replace(settings, telemetry=structs.replace(settings.telemetry, endpoint=""))
        async with serve_as_told(settings, *build_agents(canaries, settings)) as api:
            await use_everything(api, canaries)
            files = [file for file in (tmp_path / ".quorate").rglob("*") if file.is_file()]
            assert files
            held = {what for file in files for what in canaries.find(file.read_bytes())}
    assert held == set()


async def test_errors_show_no_secret(tmp_path: Path) -> None:
    """With all their causes, as they would be printed."""
    canaries = Canaries()
    settings = plant_settings(tmp_path, canaries)
    weak = canaries.plant("weak secret", "0a" * 16)
    odd = canaries.plant("odd secret", "canary in words")
    raised: list[BaseException] = []
    for text in (
        f'[server]\nsecret = "{weak}"', f'[server]\nsecret = "{odd}"', f'[openai]\napi_key = "{odd} x"',
        f'[openai]\napi_key = ["{odd}"]', f'[secrets.credentials]\nx = "{odd}"', f'[artifacts]\nkeys = "{odd}"',
        f'bus = {{ url = "nats://us:{odd}@x/y" }}', f'database = "postgresql://us:{odd}/@db"',
    ):  # fmt: skip
        (tmp_path / "quorate.toml").write_text(text)
        try:
            async with open_runtime(load_settings(tmp_path, {})) as runtime:
                _ = runtime.artifacts
        except Exception as error:  # whatever it is
            raised.append(error)
    assert len(raised) == 8
    async with open_runtime(structs.replace(settings, telemetry=structs.replace(settings.telemetry, endpoint=""))) as r:
        keys = open_keys(r)
        key = canaries.plant("API key", (await keys.create(tenant="t", principal="a", role="viewer")).text.reveal())
        for wrong in (key[:-1], key.replace("qk_", "qk_0"), f"{key}x"):
            with pytest.raises(Exception, match="does not let you in") as refused:
                await keys.verify(wrong)
            raised.append(refused.value)
    printed = [
        f"{error!r} {getattr(error, 'context', '')} {''.join(traceback.format_exception(error))}" for error in raised
    ]
    assert [canaries.find(text) for text in printed] == [[]] * len(printed)


def test_commands_print_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """part of row C20"""
    canaries = Canaries()
    plant_settings(tmp_path, canaries)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MISTRAL_API_KEY", canaries.known["MISTRAL_API_KEY"])
    for line in (
        "config show", "config show --json", "config check --json", "doctor --json", "doctor", "models list --json",
        "keys create --role viewer --json", "keys list --json", "audit list --json", "runs show nothing",
    ):  # fmt: skip
        assert main(line.split()) in (0, 1, 2, 3, 4, 5)
        captured = capfd.readouterr()
        assert captured.out + captured.err
        assert canaries.find(captured.out + captured.err) == [], line
    assert asyncio.run(_count_keys(tmp_path)) == 1


async def _count_keys(place: Path) -> int:
    settings = load_settings(place, {})
    async with open_runtime(structs.replace(settings, webhooks=structs.replace(settings.webhooks, enabled=False))) as r:
        return len([key async for key in open_keys(r).list_keys(tenant="default")])
