"""Can a team of agents find out why a system on this machine is failing, without a key, a server or a network?

`make demo` runs this: it starts a small faulty system on loopback, uses it for a moment, asks the team why it is
failing, shows the agents at work, and has them vote on the root cause, with one member planted that is always wrong.
It ends with 0 only if the report names all planted causes with evidence, and the vote is right, verifies, and has the
planted member against it.
"""

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from causes import find_missing, list_causes
from show import BOLD, DIM, LiveView, Screen, show_decision, show_report
from system import System, open_system, use
from witnesses import BOARD, PLANTED, build_board, list_candidates

from quorate import Event, Limits, QuorateError, Settings, open_runtime
from quorate.council.decide import Backing, NoDecision
from quorate.council.decision import Decision, Verification
from quorate.models.playbook.report import Diagnosis
from quorate.runtime import Runtime
from quorate.runtime.decisions import Decisions

AGENT = "incident-lead"
DATABASE = Path(".quorate", "demo.db")
INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """What the team found."""

    run_id: str
    agents: tuple[str, ...]
    report: Diagnosis
    events: int
    seconds: float


@dataclass(frozen=True)
class Ruling:
    """What the team decided, and what is wrong with that."""

    record: Decision
    faults: tuple[str, ...]


async def demonstrate(screen: Screen, database: Path, *, as_json: bool) -> int:
    """Start the system, ask the team, check its report; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        system = await stack.enter_async_context(open_system(folder))
        screen.say(f"A small shop runs at {system.url} (process {system.pid}); its log is {system.log.name}.")
        seen = await use(system)
        screen.say(f"Its customers saw: {', '.join(f'{page} × {n}' for page, n in sorted(seen.items()))}", DIM)
        question = ask(system)
        screen.say(f'\nquorate run --agent {AGENT} "{question}"\n', BOLD)
        settings = Settings(database=str(database), workspace=str(folder))
        async with open_runtime(settings) as runtime:
            outcome = await ask_team(screen, runtime, question)
            screen.say()
            ruling = await decide_cause(screen, runtime, system)
        causes = list_causes(system)
        missing = find_missing(causes, outcome.report)
    code = 1 if missing or ruling.faults else 0
    if as_json:
        told = {
            "found": not missing,
            "missing": [cause.title for cause in missing],
            "planted": [cause.title for cause in causes],
            "question": question,
            "database": str(database),
            "decision": ruling.record,
            "decision_faults": ruling.faults,
            **asdict(outcome),
        }
        print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return code
    screen.say()
    show_report(screen, outcome.report)
    screen.say("\nPlanted causes:", BOLD)
    for cause in causes:
        screen.say(f"  {'✗ not found' if cause in missing else '✓ found'}: {cause.title}")
    screen.say(f"\n{ask_cause(system)}", BOLD)
    show_decision(screen, ruling.record)
    for fault in ruling.faults:
        screen.say(f"  ✗ {fault}")
    if not ruling.faults:
        screen.say(f"  ✓ It is right, {PLANTED} was outvoted, and the ballots were counted again: it holds.")
    say_next(screen, outcome, ruling, database)
    return code


def ask(system: System) -> str:
    """The question, in the words of somebody who runs the shop."""
    return f"why is {system.url} failing? logs are in {system.log.name}, it also needs {system.backend}"


async def ask_team(screen: Screen, runtime: Runtime, question: str) -> Outcome:
    """Ask, show the agents at work, and return their report."""
    began_s = time.monotonic()
    view = LiveView(screen)
    run = await runtime.submit(question, agent=AGENT, limits=Limits(seconds=30))
    async for item in run.stream():
        if isinstance(item, Event):
            view.show(item)
    result = await run.wait()
    report = msgspec.convert(result.output, Diagnosis, from_attributes=True)
    seconds = round(time.monotonic() - began_s, 3)
    return Outcome(run.id, tuple(view.team), report, len(result.events), seconds)


def ask_cause(system: System) -> str:
    """What is put to the vote."""
    return f"What is the root cause of the failing checkouts at {system.url}?"


async def decide_cause(screen: Screen, runtime: Runtime, system: System) -> Ruling:
    """Have the team vote on the root cause, show the ballots as they come, and check the record."""
    board = build_board(system, runtime.find_agent, backing=Backing(seal=runtime.seal))
    screen.say(f"The team decides: {ask_cause(system)} (the council `{BOARD}`)\n", BOLD)
    view = LiveView(screen)
    run = await runtime.submit(ask_cause(system), agent=board, limits=Limits(seconds=30))
    async for item in run.stream():
        if isinstance(item, Event):
            view.show(item)
    try:
        record = msgspec.convert((await run.wait()).output, Decision, from_attributes=True)
    except NoDecision as error:
        record = await Decisions(runtime).get(str(error.context["decision"]))
    verified = await Decisions(runtime).verify(record.id)
    return Ruling(record, tuple(find_faults(record, verified, system)))


def find_faults(record: Decision, verified: Verification, system: System) -> list[str]:
    """What is wrong with a decision on the root cause."""
    cause, last = list_candidates(system)[0].title, record.last
    faults = [f"the record does not hold: {fault}" for fault in verified.faults]
    if record.winner != cause:
        faults.append(f"the root cause is {cause!r}, and {record.winner or 'nothing'!r} was decided")
    if PLANTED not in last.dissent:
        faults.append(f"{PLANTED} is not among those who were outvoted")
    for cast in last.ballots:
        if cast.ballot.choice == cause and not cast.ballot.evidence:
            faults.append(f"{cast.voter} is for it without a measurement")
    return faults


def say_next(screen: Screen, outcome: Outcome, ruling: Ruling, database: Path) -> None:
    """Say which run this was, and what to type next."""
    quorate = f"QUORATE_DATABASE={shlex.quote(str(database))} {shlex.quote(find_command())}"
    screen.say(
        f"\nRun {outcome.run_id}: {len(outcome.agents)} agents, {outcome.events} events, {outcome.seconds:.1f} s.",
        BOLD,
    )
    screen.say("\nNext, type:")
    run, decision = outcome.run_id, ruling.record.id
    for words in (
        f"runs show {run} --events",
        f"decisions show {decision} --ballots",
        f"decisions verify {decision}",
        f"runs replay {run}",
        "agents list",
        'run "what uses up this machine?"',
    ):
        screen.say(f"  {quorate} {words}")


def find_command() -> str:
    """The installed command, as one would type it from here."""
    command = Path(sys.executable).with_name("quorate")
    return os.path.relpath(command) if command.is_relative_to(Path.cwd()) else str(command)


@contextlib.asynccontextmanager
async def stopped_by(*signals: signal.Signals) -> AsyncIterator[None]:
    """Make signals cancel what is under way, so that everything is cleaned up before the end."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for each in signals:
        loop.add_signal_handler(each, task.cancel)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


async def run(options: argparse.Namespace) -> int:
    """Run the demo, and say in one line what went wrong where something did."""
    screen = Screen(sys.stderr if options.json else sys.stdout)
    try:
        async with stopped_by(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            return await demonstrate(screen, options.database, as_json=options.json)
    except asyncio.CancelledError:
        print("\nThe demo was stopped; everything it started is stopped too.", file=sys.stderr)
        return INTERRUPTED
    except (QuorateError, OSError, RuntimeError, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(
        description="A team of agents diagnoses a faulty system on this machine, and votes on the root cause."
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON, progress on standard error")
    parser.add_argument("--database", type=Path, default=DATABASE, help="where the run is recorded (%(default)s)")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
