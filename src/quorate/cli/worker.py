"""What does `quorate worker` do?"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Annotated

import typer

from quorate.cli.console import say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Quiet
from quorate.cli.words import clean_line
from quorate.errors import QuorateError
from quorate.events import RunSummary
from quorate.runtime import RunHandle, Runtime
from quorate.runtime.collector import calm_collector
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
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, max=10_000, help="How many runs at once.")
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

    def say_what(what: str, run: RunHandle | RunSummary, why: QuorateError | None) -> None:
        run_id = run.id if isinstance(run, RunHandle) else run.run
        reason = why.message if why is not None else ""
        if json:
            say_json_line({"run": run_id, "what": what, "reason": reason})
        elif not quiet:
            tell(f"{run_id}  {run.agent}  {WORDS.get(what, what)}{f': {clean_line(reason)}' if reason else ''}")

    async def serve(runtime: Runtime) -> None:
        courier = runtime.courier
        if courier is None:
            worker = Worker(runtime, concurrency=concurrency, tell=say_what)
        else:
            told = courier.watching(say_what)
            worker = Worker(runtime, concurrency=concurrency, tell=told, sleep=courier.wait)
        loop, seen = asyncio.get_running_loop(), list[int]()

        def on_signal(number: int) -> None:
            seen.append(number)
            if len(seen) > 1:
                os._exit(LEFT_AT_ONCE)
            worker.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        if not quiet and not json:
            tell(f"Working on runs of {runtime.store.name}, {worker.concurrency} at once. Ctrl-C hands them over.")
        with calm_collector():
            if until_idle or not schedules:
                await worker.run(until_idle=until_idle)
            else:
                await run_beside(Scheduler(runtime), worker.run())

    run_with_runtime(serve)
