"""What does `quorate cache` do?"""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.assembly import load_gateway_plan
from quorate.cli.console import say, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.errors import InvalidInput
from quorate.models.cache.rule import Invalidation
from quorate.models.plan import GatewayPlan
from quorate.runtime import Runtime
from quorate.settings import Settings, load_settings


def add_commands(app: typer.Typer) -> None:
    """Add the commands about kept answers."""
    group = typer.Typer(help="Forget answers of models that are kept.", rich_markup_mode=None, no_args_is_help=True)
    group.command("clear")(clear)
    app.add_typer(group, name="cache")


def clear(
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Only those given to a tenant.")] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="MODEL", help="Only those of a model, or of openai:* and the like.")
    ] = "",
    agent: Annotated[str, typer.Option("--agent", "-a", help="Only those given to an agent.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Only those kept under a rule's tag.")] = "",
    json: Json = False,
) -> None:
    """Forget answers that meet all that is said, or all of them, in every process that shares the bus."""
    settings = load_settings()
    check_reach(settings, load_gateway_plan(settings))
    which = Invalidation(tenant=tenant, model=model, agent=agent, tag=tag)

    async def forget(runtime: Runtime) -> tuple[int, bool]:
        gateway = runtime.gateway
        assert gateway is not None, "`open_runtime` opens a gateway"
        return await gateway.caches.invalidate(which), gateway.caches.is_told

    gone, is_told = run_with_runtime(forget)
    if json:
        say_json({"forgotten": gone, "told": is_told})
        return
    others = "Every process on the bus forgets them, too." if is_told else "No bus is set: nobody else was told."
    say(f"Forgot {gone} answers that processes share. {others}")


def check_reach(settings: Settings, plan: GatewayPlan) -> None:
    """Check that there is something to forget that can be reached from here.

    Raises:
        InvalidInput: Nothing is kept, or only in the memory of processes that cannot be told.
    """
    if plan.cache is None and plan.semantic is None:
        raise InvalidInput("No answers are kept: the gateway file has neither `[cache]` nor `[semantic]`.")
    is_shared = plan.cache is not None and plan.cache.store != "memory"
    if not settings.bus.url and not is_shared:
        raise InvalidInput(
            "Answers are kept in the memory of each process, and there is no bus to reach them by: set `bus.url`, or "
            'keep them in the database with `store = "database"` under `[cache]`; or start those processes again.'
        )
