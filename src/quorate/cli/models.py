"""What does `quorate models` do?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec import structs

from quorate.assembly import load_gateway_plan, open_gateway, open_store
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.failures import get_exit_code
from quorate.cli.model_trial import Trial, advise, render_trial, try_model
from quorate.cli.model_words import render_model, render_rows
from quorate.cli.opening import load_all_settings
from quorate.cli.options import Json, read_word
from quorate.cli.quantities import show_count
from quorate.cli.watch import run_async
from quorate.cli.words import align, clean_line
from quorate.errors import InvalidFiles, InvalidInput, QuorateError
from quorate.models.ledger import Ledger, write_day
from quorate.models.listing import list_models as ask_for_models
from quorate.models.plan import GatewayPlan, load_plan
from quorate.models.providers import ListedModel
from quorate.models.roster import (
    CAPABILITIES,
    RECENT_DAYS,
    Described,
    Listed,
    Recent,
    build_listed,
    build_words,
    count_recent,
    describe_model,
    load_known,
)
from quorate.models.routes import list_targets
from quorate.models.target import Target, find_target
from quorate.settings import Settings, load_settings

ANY_MODEL = "any"
"""Stands for a model where only its provider matters."""
ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="Such as openai:gpt-5.2, or an alias or route of the gateway file.")
]
ProviderOption = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only those of a provider.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about models."""
    group = typer.Typer(help="List, show, test and check models.", rich_markup_mode=None, no_args_is_help=True)
    group.command("list")(list_models)
    group.command("show")(show_model)
    group.command("test")(ask_model)
    group.command("check")(check_gateway)
    app.add_typer(group, name="models")


def list_models(
    *,
    provider: ProviderOption = None,
    capability: Annotated[
        str | None,
        typer.Option("--capability", metavar="WORD", help="Only those that can do something, such as vision."),
    ] = None,
    remote: Annotated[
        bool, typer.Option("--remote", help="Ask the provider which models it serves; needs --provider.")
    ] = False,
    json: Json = False,
) -> int:
    """List the models whose facts are known: context, price in US dollars for a million tokens, what they can do."""
    wanted = read_word("capability", capability, CAPABILITIES)
    settings = load_all_settings()
    plan = load_gateway_plan(settings)
    table = load_known(plan, provider)
    rows = [build_listed(facts, table.find_provider(facts.name.partition(":")[0])) for facts in table.models.values()]
    if remote:
        rows = _ask(settings, plan, provider, rows)
    rows = sorted(
        (row for row in rows if provider in (None, row.provider) and (not wanted or wanted in row.capabilities)),
        key=lambda row: row.name,
    )
    words = [] if provider or wanted else build_words(plan.aliases.items(), plan.routes)
    if json:
        say_json({"models": rows, "words": words})
        return 0
    say_all(align([(word.name, word.kind, ", ".join(word.models)) for word in words]))
    say_all(align(render_rows(rows)) or ["There are no such models."])
    return 0


def show_model(name: ModelName, *, json: Json = False) -> None:
    """Show what is known of a model, where it is, what it costs, and what is missing before it can be asked."""
    settings = load_all_settings()
    plan = load_gateway_plan(settings)
    rule = next((rule for rule in plan.routes if rule.name == plan.aliases.get(name, name)), None)
    names = list_targets(rule) if rule is not None else (plan.aliases.get(name, name),)
    recent = _find_recent(settings, names)
    if rule is not None:
        members = [_describe(settings, plan, member, recent[member]) for member in names]
        if json:
            say_json({"route": rule, "models": members})
            return
        say_all(align([("route", rule.name), ("chosen by", rule.choose), ("tried at most", str(rule.tries))]))
        for member in members:
            say()
            say_all(render_model(member))
        return
    described = _describe(settings, plan, names[0], recent[names[0]])
    if json:
        say_json(described)
        return
    say_all(render_model(described))


def ask_model(name: ModelName, *, json: Json = False) -> int:
    """Ask a model for one word, for real, and say how long it took, what it cost, and whether it streams."""
    settings = load_all_settings()
    try:
        trial = run_async(_try(settings, name))
    except QuorateError as error:
        if json:
            failure = {"code": error.code, "message": error.message, "advice": advise(error)}
            say_json({"ok": False, "model": name, "error": failure})
        else:
            tell(f"quorate: {clean_line(error.message)}")
            tell(f"quorate: {advise(error)}")
        return get_exit_code(error)
    if json:
        say_json({"ok": True, "asked": name, **structs.asdict(trial)})
    else:
        say_all(align(render_trial(trial)))
    return 0


def check_gateway(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The gateway file; else the one of the settings.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Check a gateway file; every fault is named with its line."""
    place = str(file) if file is not None else load_settings().gateway
    if not place:
        raise InvalidInput("There is no gateway file: name one, or set `gateway` in the settings.")
    try:
        plan = load_plan(place)
    except InvalidFiles as error:
        if json:
            say_json({"ok": False, "faults": error.faults})
        raise
    if json:
        say_json({"ok": True, "plan": plan, "faults": ()})
        return
    counts = [
        show_count(len(items), what)
        for items, what in ((plan.providers, "provider"), (plan.models, "model"), (plan.aliases, "alias"),
                            (plan.routes, "route"), (plan.pools, "pool"))
        if items
    ]  # fmt: skip
    say(f"No faults in {place}: {', '.join(counts) or 'it changes nothing'}.")


def _ask(settings: Settings, plan: GatewayPlan, provider: str | None, known: list[Listed]) -> list[Listed]:
    """Ask a provider for its models, and add what is known of each."""
    if provider is None:
        raise InvalidInput("`--remote` asks one provider: name it, such as `--provider openai`.")
    target = _find_target(settings, plan, f"{provider}:{ANY_MODEL}")
    served = run_async(ask_for_models(target, credentials=settings.find_credential, timeouts=plan.timeouts))
    facts = {row.name: row for row in known}
    return [_join(model, provider, facts.get(f"{provider}:{model.name}")) for model in served]


def _join(model: ListedModel, provider: str, known: Listed | None) -> Listed:
    if known is not None:
        return known
    return Listed(name=f"{provider}:{model.name}", provider=provider, context_tokens=model.context_tokens)


def _find_target(settings: Settings, plan: GatewayPlan, name: str) -> Target:
    return find_target(name, credentials=settings.find_credential, base_urls={}, table=plan.build_table())


def _describe(settings: Settings, plan: GatewayPlan, name: str, recent: Recent | None) -> Described:
    return describe_model(plan, name, credentials=settings.find_credential, recent=recent)


def _find_recent(settings: Settings, names: Sequence[str]) -> dict[str, Recent | None]:
    if not settings.is_server and not Path(settings.database).is_file():
        return dict.fromkeys(names)  # looking at a model makes no database
    return run_async(_read_recent(settings, names))


async def _read_recent(settings: Settings, names: Sequence[str]) -> dict[str, Recent | None]:
    """Read how the calls of the last days went, as they are booked."""
    async with open_store(settings) as store:
        since = write_day(time.time() - RECENT_DAYS * 86_400)
        return {**await count_recent(Ledger(store.values).read(since=since), names)}


async def _try(settings: Settings, name: str) -> Trial:
    # With the database, as the call draws on the same budgets as all others, and is booked with them.
    async with open_store(settings) as store, open_gateway(settings, store=store) as gateway:
        return await try_model(gateway.find_model(name))
