"""What does `quorate worker` do?"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

import typer

from quorate.cli.console import say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet
from quorate.cli.quantities import read_duration
from quorate.cli.words import clean_line
from quorate.errors import InvalidInput, QuorateError
from quorate.events import RunSummary
from quorate.runtime import RunHandle, Runtime
from quorate.runtime.collector import calm_collector
from quorate.runtime.fleet import serve_tasks
from quorate.runtime.memory import MemoryGate, find_memory_limit_mb
from quorate.runtime.placement import build_placement
from quorate.runtime.relay.opening import open_relay
from quorate.runtime.schedules import Scheduler, run_beside
from quorate.runtime.worker import Worker

LEFT_AT_ONCE = 130
WORDS = {
    "taken": "working on it",
    "ended": "ended or rests",
    "foreign": "left to others: it cannot be opened here",
    "blocked": "cannot be recorded for now; it is tried again",
}


def add_commands(app: typer.Typer) -> None:
    """Add `worker`."""
    app.command("worker")(work)


def work(
    *,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            "--agents",
            "-a",
            metavar="NAMES",
            help="Only do runs of these, by name or glob, such as net,'host*'; over the bus, take their tasks, too.",
        ),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option("--capability", metavar="NAME", help="What this worker offers to agents that require it."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, max=10_000, help="How many runs at once.")
    ] = None,
    max_memory: Annotated[
        int | None, typer.Option("--max-memory", metavar="MB", min=1, help="From how much memory on to take no more.")
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="TIME", help="How long runs may still end when it is told to stop."),
    ] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Leave when there is nothing left to do.")] = False,
    schedules: Annotated[
        bool, typer.Option("--schedules/--no-schedules", help="Submit what schedules say is due, too.")
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Work on queued runs, take over those whose worker died, and submit what is due, until stopped.

    SIGTERM and Ctrl-C hand the runs under way to other workers; a second one leaves at once.
    """
    grace_s = None if grace is None else read_duration(grace)

    def say_what(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
        run_id = run.id if isinstance(run, RunHandle) else run.run
        reason = why.message if why is not None else ""
        if json:
            say_json_line({"run": run_id, "what": what, "reason": reason})
        elif not quiet:
            tell(f"{run_id}  {run.agent}  {WORDS.get(what, what)}{f': {clean_line(reason)}' if reason else ''}")

    def build(runtime: Runtime) -> Worker:
        courier, chosen = runtime.courier, runtime.settings.worker
        return Worker(
            runtime,
            concurrency=concurrency,
            tell=say_what if courier is None else courier.watching(say_what),
            sleep=asyncio.sleep if courier is None else courier.wait,
            placement=build_placement(
                runtime,
                agents=read_names("--agents", agents),
                capabilities=read_names("--capability", capability),
            ),
            memory=MemoryGate(find_memory_limit_mb(max_memory or chosen.max_memory_mb, chosen.max_memory_share)),
            grace_s=grace_s,
        )

    async def serve(runtime: Runtime) -> None:
        worker = build(runtime)
        loop, seen = asyncio.get_running_loop(), list[int]()

        def on_signal(number: int) -> None:
            seen.append(number)
            if len(seen) > 1:
                os._exit(LEFT_AT_ONCE)
            worker.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        if not quiet and not json:
            tell(f"{_describe(worker)} Ctrl-C hands them over.")
            for name, missing in worker.placement.lacking.items():
                tell(f"{name}  left to others: it requires {', '.join(missing)}")
        with calm_collector():
            async with _telling(runtime, until_idle=until_idle):
                await _work(worker, until_idle=until_idle, schedules=schedules)

    run_with_runtime(serve)


@asynccontextmanager
async def _telling(runtime: Runtime, *, until_idle: bool) -> AsyncGenerator[None]:
    """Tell others of what is recorded, for a block, as the settings say."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_relay(runtime.settings, runtime.store))
        if runtime.settings.webhooks.enabled and not until_idle:
            from quorate.runtime.webhooks.opening import open_webhooks  # most fleets have no webhooks

            await stack.enter_async_context(open_webhooks(runtime))
        yield


async def _work(worker: Worker, *, until_idle: bool, schedules: bool) -> None:
    if until_idle:
        await worker.run(until_idle=True)
        return
    async with serve_tasks(worker):
        await (run_beside(Scheduler(worker.runtime), worker.run()) if schedules else worker.run())


def read_names(option: str, given: Sequence[str] | None) -> list[str] | None:
    """Read names that may stand in one word with commas between, too; `None` when the option was not given.

    Raises:
        InvalidInput: It was given without a name: an empty variable must not stand for everything.
    """
    if not given:
        return None
    names = [part.strip() for word in given for part in word.split(",")]
    if not all(names):
        raise InvalidInput(
            f"`{option}` has an empty name in {','.join(given)!r}: write a name, or leave the option out."
        )
    return names


def _describe(worker: Worker) -> str:
    of = f" of {', '.join(worker.placement.patterns)}" if worker.placement.patterns else ""
    return f"Working on runs{of} in {worker.runtime.store.name}, {worker.concurrency} at once, as {worker.id}."
