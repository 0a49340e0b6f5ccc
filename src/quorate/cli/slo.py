"""What does `quorate slo` do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.console import say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json
from quorate.cli.quantities import read_duration, show_count
from quorate.cli.words import align, clean_line, show_duration, show_time
from quorate.errors import InvalidInput
from quorate.runtime import Runtime
from quorate.runtime.objectives import MOST, Standing, measure
from quorate.settings import load_settings
from quorate.telemetry.names import load_names
from quorate.telemetry.objectives import DAY_S, AgentFigures, Budget, load_objectives
from quorate.telemetry.rules import build_alerts, build_recordings, write_alerts, write_recordings

RECORDINGS = "recordings.yml"
ALERTS = "alerts.yml"


def add_commands(app: typer.Typer) -> None:
    """Add `slo`."""
    app.command("slo")(show_objectives)


def show_objectives(
    *,
    window: Annotated[
        str | None, typer.Option("--window", "-w", metavar="TIME", help="How far back to look, such as 1h or 30d.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="Only runs of an agent.")] = None,
    every_tenant: Annotated[bool, typer.Option("--all", help="Runs of all tenants.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="How many runs to look at.")] = MOST,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FOLDER", help="Write the rules for Prometheus instead: recordings, alerts."),
    ] = None,
    json: Json = False,
) -> int:
    """Show whether what is promised is kept, and how long runs take; exit code 1 when a budget is spent.

    It is worked out from the record. What is promised is in a file (`telemetry.objectives`).
    """
    if rules is not None:
        write_rules(rules)
        return 0
    seconds = None if window is None else read_duration(window)

    async def work(runtime: Runtime) -> Standing:
        objectives, now = load_objectives(runtime.settings.telemetry.objectives), runtime.clock.now()
        back_s = objectives.window_days * DAY_S if seconds is None else seconds
        tenant = None if every_tenant else runtime.tenant
        return await measure(
            runtime.log, objectives, since=now - back_s, until=now, tenant=tenant, agent=agent, most=most
        )

    standing = run_with_runtime(work)
    if json:
        say_json(standing)
    else:
        say_all(render(standing))
    return 1 if standing.spent else 0


def write_rules(folder: Path) -> None:
    """Write what Prometheus needs to know, from the objectives that the settings name.

    Raises:
        InvalidInput: It cannot be written there.
    """
    objectives, names = load_objectives(load_settings().telemetry.objectives), load_names()
    pages = {
        RECORDINGS: write_recordings(build_recordings(objectives, names)),
        ALERTS: write_alerts(build_alerts(objectives, names)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"the rules cannot be written to {str(folder)!r}: {error.strerror}") from error
    say(f"Wrote {RECORDINGS} and {ALERTS} in {folder}.")


def render(standing: Standing) -> list[str]:
    """Say how the promises stand."""
    lines = [f"{show_count(standing.runs, 'run')} since {show_time(standing.since)}."]
    if standing.is_cut:
        lines.append("There were more: these are the newest. `--most` looks at more of them.")
    if standing.unread:
        lines.append(f"{show_count(standing.unread, 'run')} could not be read.")
    rows = [("objective", "promised", "kept", "of", "budget left"), *(_render_budget(one) for one in standing.budgets)]
    lines += ["", *align(rows)]
    if standing.agents:
        head = ("agent", "runs", "failed", "p50", "p95", "p99")
        lines += ["", *align([head, *(_render_agent(one) for one in standing.agents)])]
    if standing.spent:
        lines += ["", f"Nothing is left of the budget of {', '.join(standing.spent)}."]
    return lines


def _render_budget(budget: Budget) -> tuple[str, ...]:
    kept = "–" if budget.share is None else f"{budget.share * 100:.2f} %"
    return budget.objective, f"{budget.target * 100:g} %", kept, str(budget.total), f"{budget.left * 100:.0f} %"


def _render_agent(one: AgentFigures) -> tuple[str, ...]:
    times = (show_duration(seconds) for seconds in (one.p50_s, one.p95_s, one.p99_s))
    return clean_line(one.agent), str(one.runs), str(one.failed), *times
