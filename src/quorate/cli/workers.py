"""What does `quorate workers` do?"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from quorate.cli.console import say, say_all, say_json, say_json_line, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.quantities import read_duration
from quorate.cli.words import align, clean, clean_line, show_duration, show_time
from quorate.errors import InvalidInput, NotFound, QuorateError
from quorate.events import RunSummary
from quorate.runtime import Runtime
from quorate.runtime.placement import find_required
from quorate.runtime.registry import WorkerRecord, explain_queued, get_worker, list_workers

MOST_LOOKED_AT = 1_000
"""Among how many queued runs it is looked for those that nobody takes."""
NOBODY = "No worker is there. Start one: `quorate worker`."


class Queued(Struct, frozen=True, kw_only=True):
    """Runs of an agent that nobody takes for now."""

    agent: str
    runs: int
    why: str


class Fleet(Struct, frozen=True, kw_only=True):
    """Who is there, and what waits."""

    workers: list[WorkerRecord]
    queued: list[Queued]
    now: float


def add_commands(app: typer.Typer) -> None:
    """Add the commands about workers."""
    group = typer.Typer(
        help="List the workers that are there, with their load, and show what each of them does.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_all)
    group.command("show")(show_worker)
    app.add_typer(group, name="workers")


def list_all(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="With --watch, how often.")] = "2s",
    json: Json = False,
) -> None:
    """List the workers that share the database, and why runs wait that nobody takes; no bus is needed."""
    every_s = read_duration(every)
    if every_s <= 0:
        raise InvalidInput(f"`--every {every}` is no time to wait: write it like 2s.")

    async def work(runtime: Runtime) -> None:
        if not watch:
            fleet = await look(runtime)
            if json:
                say_json(_show_fleet(fleet))
            else:
                say_all(render_fleet(fleet))
            return
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        with _open_screen(json=json) as show:
            await _watch(runtime, show, every_s=every_s, stopping=stopping)

    run_with_runtime(work)


def show_worker(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id, or its end.")],
    *,
    json: Json = False,
) -> None:
    """Show a worker: where it is, what it takes, and the runs that it has."""

    async def work(runtime: Runtime) -> tuple[WorkerRecord, list[RunSummary], float]:
        found = await get_worker(runtime.store, worker)
        runs = list[RunSummary]()
        for run in found.runs:
            try:
                # A worker has runs of any tenant.
                runs += [await runtime.show(run)]
            except NotFound:
                continue
        return found, runs, runtime.clock.now()

    found, runs, now = run_with_runtime(work)
    if json:
        say_json({"worker": found, "runs": runs})
        return
    say_all(render_worker(found, now=now))
    if found.runs:
        known = {summary.run: summary for summary in runs}
        say()
        say_all(align([_render_run(run, known.get(run)) for run in found.runs]))


async def look(runtime: Runtime) -> Fleet:
    """Look who is there, and which queued runs nobody takes."""
    workers = await list_workers(runtime.store)
    queued = await runtime.store.log.list_runs(status="queued", order="oldest", limit=MOST_LOOKED_AT)
    counts = dict[str, int]()
    for summary in queued:
        counts[summary.agent] = counts.get(summary.agent, 0) + 1
    waiting = list[Queued]()
    for agent, count in sorted(counts.items()):
        why = explain_queued(agent, workers, requires=find_required(runtime, agent))
        if why:
            waiting.append(Queued(agent=agent, runs=count, why=why))
    return Fleet(workers=workers, queued=waiting, now=runtime.clock.now())


def render_fleet(fleet: Fleet) -> list[str]:
    """Write who is there as a table, and below it what nobody takes."""
    rows = [("worker", "host", "state", "runs", "memory", "agents", "seen")]
    rows += [_render_row(worker, now=fleet.now) for worker in fleet.workers]
    lines = align(rows) if fleet.workers else [NOBODY]
    if fleet.queued:
        lines += ["", "Queued, and taken by nobody for now:"]
        lines += align(
            [(q.agent, f"{q.runs} runs" if q.runs > 1 else "1 run", q.why) for q in fleet.queued], indent="  "
        )
    return lines


def render_worker(worker: WorkerRecord, *, now: float) -> list[str]:
    """Write a worker in full."""
    left = [f"{name} (needs {', '.join(missing)})" for name, missing in worker.lacking.items()]
    return align(
        [
            ("worker", worker.id),
            ("state", _describe_state(worker)),
            ("process", f"{worker.pid} on {clean_line(worker.host)}, Quorate {clean_line(worker.version)}"),
            ("runs", f"{len(worker.runs)} of {worker.concurrency} at once"),
            ("memory", f"{worker.memory_mb:.0f} MB"),
            ("agents", clean_line(_describe_agents(worker))),
            *([("offers", ", ".join(worker.capabilities))] if worker.capabilities else []),
            *([("leaves", clean_line(", ".join(left)))] if left else []),
            ("bus", "yes" if worker.has_bus else "no"),
            ("started", f"{show_time(worker.started)} UTC"),
            ("seen", f"{show_duration(max(0.0, now - worker.seen))} ago"),
        ]
    )


def _render_row(worker: WorkerRecord, *, now: float) -> tuple[str, ...]:
    return (
        worker.id,
        f"{clean_line(worker.host, most=30)}:{worker.pid}",
        worker.state,
        f"{len(worker.runs)}/{worker.concurrency}",
        f"{worker.memory_mb:.0f} MB",
        clean_line(_describe_agents(worker), most=40),
        f"{show_duration(max(0.0, now - worker.seen))} ago",
    )


def _render_run(run: str, summary: RunSummary | None) -> tuple[str, ...]:
    if summary is None:
        return (run, "-", "another tenant's")
    return (run, summary.agent, clean_line(summary.task, most=60))


def _describe_state(worker: WorkerRecord) -> str:
    return f"{worker.state}: {clean_line(worker.why)}" if worker.why else worker.state


def _describe_agents(worker: WorkerRecord) -> str:
    words = " ".join(worker.patterns) or "all"
    return f"{words} +{' +'.join(worker.capabilities)}" if worker.capabilities else words


def _show_fleet(fleet: Fleet) -> dict[str, object]:
    return {"workers": fleet.workers, "queued": fleet.queued}


async def _watch(runtime: Runtime, show: Callable[[Fleet], None], *, every_s: float, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            show(await look(runtime))
        except QuorateError as error:  # what is away comes back
            tell(clean_line(error.message))
        try:
            async with asyncio.timeout(every_s):
                await stopping.wait()
        except TimeoutError:
            continue


@contextmanager
def _open_screen(*, json: bool) -> Generator[Callable[[Fleet], None]]:
    """Show a table that changes in its place on a terminal, and one after the other anywhere else."""
    if json:
        yield lambda fleet: say_json_line(_show_fleet(fleet))
    elif sys.stdout.isatty():
        console = Console(highlight=False, markup=False, emoji=False)
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda fleet: live.update(_build_text(render_fleet(fleet)), refresh=True)
    else:
        yield lambda fleet: say_all([*render_fleet(fleet), ""])


def _build_text(lines: Sequence[str]) -> Text:
    return Text(clean("\n".join(lines)), no_wrap=True, overflow="ellipsis")
