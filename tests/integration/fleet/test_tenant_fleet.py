"""Does a fleet work over a bus that several tenants share, each process with the settings it was told to set?"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from tests.tenants import EVERY_ROLE, build_facts
from typer.main import get_command

from quorate import Settings, open_runtime
from quorate.bus.accounts.saving import Login, save_configuration
from quorate.bus.backends.nats import NatsLogin, open_nats_bus
from quorate.cli import nats
from quorate.errors import Forbidden
from quorate.ports.bus import Subscription
from quorate.settings.values import BusSettings
from quorate.testing.nats_server import NatsServer, open_nats_server

PROGRAM = Path(sys.executable).parent / "quorate"
PATIENCE_S = 60.0
TASK = "why is http://127.0.0.1:9 slow?"


def start(folder: Path, environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start the command as somebody would who was told which variables to set."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
    return subprocess.Popen(
        [str(PROGRAM), *words],
        cwd=folder,
        env={**known, "QUORATE_DATABASE": str(folder / "quorate.db"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def find_environment(login: Login, server: NatsServer) -> dict[str, str]:
    """Find what a process of that principal sets; the port was chosen when the server started."""
    return {**login.environment, "QUORATE_BUS_URL": server.url}


async def hear(heard: Subscription, subject: str) -> None:
    """Wait for a message at a subject that begins so."""
    async for message in heard:
        if message.subject.startswith(subject):
            return


async def test_two_processes_of_a_tenant_work_together(tmp_path: Path) -> None:
    """One submits, the other one is told of it and does it; both speak on the bus, and another tenant hears nothing."""
    saved = await asyncio.to_thread(save_configuration, build_facts("acme", "globex"), tmp_path / "nats")
    logins = {login.name: login for login in saved.logins}
    with await asyncio.to_thread(lambda: open_nats_server(configuration=Path(saved.configurations[0]))) as server:
        ours, theirs = (NatsLogin(nkey_file=logins[name].key_file) for name in ("acme/looker", "globex/chief"))
        async with (
            asyncio.timeout(PATIENCE_S),
            open_nats_bus(server.url, tenant="acme", principal="looker", login=ours) as bus,
            open_nats_bus(server.url, tenant="globex", principal="chief", login=theirs) as other,
            bus.subscribe("ai.>") as heard,
            other.subscribe(">") as foreign,
        ):
            worker = start(tmp_path, find_environment(logins["acme/worker"], server), "worker")
            try:
                door = logins["acme/server"]
                talk = BusSettings(url=server.url, tenant="acme", principal="server", nkey_file=door.key_file)
                settings = Settings(database=str(tmp_path / "quorate.db"), bus=talk)
                async with open_runtime(settings) as runtime:
                    run = await runtime.submit(TASK, agent="network-diagnostics", start=False)
                    await hear(heard, "ai.runs.queued.acme")
                    await hear(heard, f"ai.runs.told.acme.{run.id}")
                    assert (await run.wait()).status == "completed"
            finally:
                worker.send_signal(signal.SIGTERM)
                _, complaints = await asyncio.to_thread(worker.communicate)
            assert worker.returncode == 0, complaints
            assert "bus" not in complaints, complaints
            await other.publish("ai.agent.told.globex", b"own")
            assert (await anext(aiter(foreign))).data == b"own", "it heard another tenant"


async def test_a_worker_with_the_wrong_name_says_so(tmp_path: Path) -> None:
    """The bus does not let it hear answers; it says what to change, and goes on without the bus."""
    facts = build_facts("acme", principals={name: EVERY_ROLE[name] for name in ("server", "worker")})
    saved = await asyncio.to_thread(save_configuration, facts, tmp_path / "nats")
    logins = {login.name: login for login in saved.logins}
    with await asyncio.to_thread(lambda: open_nats_server(configuration=Path(saved.configurations[0]))) as server:
        wrong = {**find_environment(logins["acme/worker"], server), "QUORATE_BUS__PRINCIPAL": "somebody"}
        worker = start(tmp_path, wrong, "worker")
        assert worker.stderr is not None
        said = list[str]()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while "listen to '_INBOX_somebody" not in "".join(said):
                    said.append(await asyncio.to_thread(worker.stderr.readline))
                    assert said[-1], said
        finally:
            worker.send_signal(signal.SIGTERM)
            said.append((await asyncio.to_thread(worker.communicate))[1])
        assert worker.returncode == 0, said
        assert "made for our tenant and principal" in "".join(said)
        assert "Work goes on without the bus" in "".join(said)


def test_streams_are_made_by_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server makes them, a worker uses them; who may not make what is not there is told who may."""
    facts = build_facts("acme", principals={name: EVERY_ROLE[name] for name in ("server", "worker")})
    logins = {login.name: login for login in save_configuration(facts, tmp_path / "nats").logins}
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    nats.add_commands(app)
    with open_nats_server(configuration=tmp_path / "nats" / "server.conf") as server:

        def make(who: str, *words: str) -> None:
            for name, value in find_environment(logins[who], server).items():
                monkeypatch.setenv(name, value)
            get_command(app).main(["nats", "streams", *words], prog_name="quorate", standalone_mode=False)

        with pytest.raises(Forbidden, match="a principal with the role `server`"):
            make("acme/worker", "--tasks", "net")
        make("acme/server", "--tasks", "net", "--inbox", "net", "--events")
        make("acme/worker", "--tasks", "net")
