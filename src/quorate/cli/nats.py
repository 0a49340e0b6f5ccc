"""What does `quorate nats` do?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from quorate.agent.errand import build_task_rules
from quorate.bus.accounts.facts import Facts, ServerFacts, TlsFacts, build_facts
from quorate.bus.accounts.reading import load_facts
from quorate.bus.accounts.saving import Login, Saved, find_faults, save_configuration
from quorate.bus.accounts.sense import find_nonsense
from quorate.bus.streams import check_streams
from quorate.cli.console import say, say_all, say_json
from quorate.cli.options import Force, Json
from quorate.cli.watch import run_async
from quorate.cli.words import align
from quorate.errors import InvalidFiles, InvalidInput
from quorate.orchestration.letters import build_inbox_rules
from quorate.runtime.fleet import open_bus
from quorate.runtime.relay.bus_sink import build_relay_rules
from quorate.settings import load_settings

NOT_CURRENT = 1
FOLDER = Path("nats")


def add_commands(app: typer.Typer) -> None:
    """Add the commands about NATS servers."""
    group = typer.Typer(
        help="Set up a NATS server that several tenants share.", rich_markup_mode=None, no_args_is_help=True
    )
    group.callback()(_choose)
    group.command("config")(configure)
    group.command("streams")(make_streams)
    app.add_typer(group, name="nats")


def _choose() -> None:
    """Set up a NATS server that several tenants share."""


def configure(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The facts: server, tenants, who talks for each.")
    ] = None,
    *,
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", metavar="NAME", help="Without a file: a tenant; may be given several times."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Without a file: 127.0.0.1:4222 if not given.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Without a file: where streams are kept.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Without a file: the server's certificate.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The key of that certificate.")] = None,
    authority: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Whose certificates are believed.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where configuration and keys are kept.")
    ] = FOLDER,
    rotate: Annotated[
        list[str] | None,
        typer.Option("--rotate", metavar="TENANT/NAME", help="Make a new key; the old one lets in until retired."),
    ] = None,
    retire: Annotated[
        list[str] | None,
        typer.Option("--retire", metavar="TENANT/NAME", help="Let the key before the last rotation in no more."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say whether what is there is what the facts say.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the configuration of a NATS server: an account, permissions and keys for each tenant.

    Keys that are there stay as they are. With --check: exit code 0 if all is current, else 1.
    """
    server = ServerFacts(
        listen=listen or ServerFacts().listen, store=str(store.absolute()) if store is not None else ""
    )
    facts = read_facts(file, tenant or [], server=server, tls=_read_tls(cert, key, authority))
    if check:
        if rotate or retire:
            raise InvalidInput("`--check` changes nothing: leave `--rotate` and `--retire` out.")
        _say_faults(find_faults(facts, out), json=json)
        return
    saved = save_configuration(facts, out, rotate=rotate or [], retire=retire or [], force=force)
    if json:
        say_json(saved)
    else:
        say_all(_render(saved))


def make_streams(
    *,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", metavar="AGENT", help="The queue of an agent's tasks; may be given several times."),
    ] = None,
    inbox: Annotated[
        list[str] | None, typer.Option("--inbox", metavar="AGENT", help="The inbox of an agent; likewise.")
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="The events that are kept (`bus.events`).")] = False,
    json: Json = False,
) -> None:
    """Make streams on the bus of the settings, as somebody who may: a principal with the role `server`.

    Workers use streams that are there. Running it again changes nothing.
    """
    settings = load_settings()
    tenant = settings.bus.tenant
    if not settings.bus.url:
        raise InvalidInput("There is no bus: set `bus.url`, or `QUORATE_BUS_URL`, and a login of the role `server`.")
    rules = [
        *build_task_rules(tasks or [], tenant=tenant),
        *build_inbox_rules(inbox or [], tenant=tenant),
        *(build_relay_rules(tenant) if events else ()),
    ]
    if not rules:
        raise InvalidInput("Say which streams: `--tasks AGENT`, `--inbox AGENT` or `--events`.")

    async def make() -> None:
        async with open_bus(settings, streams=rules):
            pass

    run_async(make())
    made = [rule.name for rule in check_streams(rules, tenant=tenant)]
    if json:
        say_json({"tenant": tenant, "streams": made})
    else:
        say_all(f"{name}  is there for {tenant}" for name in made)


def read_facts(file: Path | None, tenants: list[str], *, server: ServerFacts, tls: TlsFacts | None) -> Facts:
    """Read the facts from a file, or from options.

    Raises:
        InvalidInput: There is neither, or both.
        InvalidFiles: They do not hold together.
    """
    if file is None:
        facts = build_facts(tenants, server=server, tls=tls)
        faults = [f"`{'.'.join(place)}` {what}" for place, what in find_nonsense(facts)]
        if faults:
            raise InvalidFiles("the options", faults)
        return facts
    if tenants or tls is not None or server != ServerFacts():
        raise InvalidInput(f"{str(file)!r} says it all: leave `--tenant`, `--listen`, `--store` and `--cert` out.")
    return load_facts(file)


def _read_tls(cert: Path | None, key: Path | None, authority: Path | None) -> TlsFacts | None:
    if cert is None and key is None and authority is None:
        return None
    if cert is None or key is None:
        raise InvalidInput("TLS takes a certificate and its key: give `--cert` and `--key`.")
    return TlsFacts(
        cert=str(cert.absolute()),
        key=str(key.absolute()),
        ca=str(authority.absolute()) if authority is not None else "",
    )


def _say_faults(faults: list[str], *, json: bool) -> None:
    if json:
        say_json({"ok": not faults, "faults": faults})
    elif faults:
        say_all([*faults, f"{len(faults)} fault{'s' if len(faults) != 1 else ''}."])
    else:
        say("The configuration and all keys are what the facts say.")
    if faults:
        raise typer.Exit(NOT_CURRENT)


def _render(saved: Saved) -> Iterator[str]:
    for file in saved.configurations:
        yield f"{file}  {'written' if file in saved.changed else 'unchanged'}"
    yield ""
    yield from align([(login.name, login.role, login.key_file, _describe(login)) for login in saved.logins])
    yield from (f"{name}: the key before lets in no more." for name in saved.retired)
    yield ""
    yield "Next:"
    if saved.changed:
        yield from (f"  nats-server -c {file}" for file in saved.configurations)
        yield "  or, where it runs already: nats-server --signal reload"
    worker = next((login for login in saved.logins if login.role == "worker"), saved.logins[-1])
    yield f"  {worker.name} sets:"
    yield from (f"    {name}={value}" for name, value in worker.environment.items())
    yield "  Move each .nk file to where it is used; nobody else needs it."


def _describe(login: Login) -> str:
    words = ["new"] if login.is_new else []
    words += ["the key before lets in, too"] if login.is_rotating else []
    words += [] if login.has_seed else ["its seed was moved"]
    return ", ".join(words)
