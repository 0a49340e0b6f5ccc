"""What does `quorate decide` do?"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from msgspec import Struct, structs

from quorate.cli.ballots import BallotBoard, open_board
from quorate.cli.console import say, say_all, say_json, say_styled, tell
from quorate.cli.decision_words import describe_status, render_questions, render_result
from quorate.cli.failures import get_status_code
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Model, Quiet
from quorate.cli.render import render_failure
from quorate.cli.run import read_task
from quorate.cli.watch import INTERRUPTED, interruptible, is_failed_run
from quorate.council.decision import Decision
from quorate.council.motion import Motion
from quorate.council.plan import Plan
from quorate.errors import InvalidFiles, InvalidInput, NotFound, QuorateError
from quorate.runtime import RunHandle, Runtime
from quorate.runtime.ballots import find_asked
from quorate.runtime.decisions import Decisions
from quorate.runtime.motions import list_motion_faults

UNDECIDED = 8
Many = list[str] | None


def add_commands(app: typer.Typer) -> None:
    """Add `decide`."""
    app.command("decide")(decide)


def decide(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What is to be decided; `-` reads it from standard input.")
    ] = None,
    *,
    option: Annotated[
        Many, typer.Option("--option", "-o", metavar="TEXT", help="What there is to choose from; else voters propose.")
    ] = None,
    voter: Annotated[
        Many, typer.Option("--voter", "-v", metavar="NAME", help="Who votes: an agent, or person:NAME.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", metavar="RULE", help="Such as majority, supermajority:0.75, schulze.")
    ] = None,
    quorum: Annotated[float | None, typer.Option("--quorum", help="Which share of the roll must vote, 0 to 1.")] = None,
    tie: Annotated[
        str | None, typer.Option("--tie", help="What becomes of a tie: refuse, priority, random or revote.")
    ] = None,
    weight: Annotated[
        Many, typer.Option("--weight", metavar="NAME=NUMBER", help="What a vote weighs; 1 when not given.")
    ] = None,
    by_trust: Annotated[
        bool | None, typer.Option("--by-trust", help="Votes weigh what their voters are trusted.", show_default=False)
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="What it is about, as far as trust goes.")] = None,
    debate: Annotated[int | None, typer.Option("--debate", metavar="ROUNDS", help="Argue before the vote.")] = None,
    fallback: Annotated[
        Many,
        typer.Option(
            "--fallback",
            metavar="WHAT",
            help="What is done in turn where nothing is decided: debate:1, arbiter:AGENT, person:NAME, abort.",
        ),
    ] = None,
    secret: Annotated[
        bool | None, typer.Option("--secret", help="Show no ballot before all are in.", show_default=False)
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", help="After which no ballot counts.")
    ] = None,
    model: Model = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A TOML file with the same, and the rest; what is typed goes before it."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Queue it for a worker, print the run's id, and leave.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Put a question to the vote among agents and people, show the ballots, and print what was decided."""
    faults: list[str] = []
    weights = read_numbers("--weight", weight, faults)
    given: dict[str, object] = {
        "options": option, "rule": rule, "quorum": quorum, "tie": tie, "weights": weights, "by_trust": by_trust,
        "topic": topic, "debate": debate, "fallback": fallback, "secret": secret, "deadline_s": deadline,
    }  # fmt: skip
    typed = {name: value for name, value in given.items() if value not in (None, {}, [])}
    task = read_task(question) if question is not None else None
    order = Order(model=model, detach=detach, json=json, quiet=quiet)
    motion = read_motion_file(file, faults) if file is not None else {}
    motion |= {"question": task} if task is not None else {}
    motion |= {"voters": voter} if voter else {}
    whole = build_motion({**motion, **typed}, faults)

    async def work(runtime: Runtime) -> int:
        return await put_to_vote(runtime, whole, order, faults=faults)

    return run_with_runtime(work)


class Order(Struct, frozen=True, kw_only=True):
    """How a vote is held beside its terms, and shown."""

    model: str | None = None
    detach: bool = False
    json: bool = False
    quiet: bool = False


async def put_to_vote(runtime: Runtime, motion: Motion, order: Order, *, faults: Sequence[str] = ()) -> int:
    """Put a motion to the vote, show how it goes, and return the exit code for what came of it.

    Raises:
        InvalidFiles: It cannot be; nobody was asked.
    """
    found = await list_motion_faults(runtime, motion, model=order.model, start=not order.detach)
    if faults or found:
        raise InvalidFiles("what is to be decided", [*faults, *found])
    handle = await Decisions(runtime).submit(motion, model=order.model, start=not order.detach)
    if not order.detach:
        return await watch_vote(runtime, handle, json=order.json, quiet=order.quiet)
    if order.json:
        say_json({"run_id": handle.id, "status": "queued"})
    else:
        say(handle.id)
        tell(f"Queued. A worker does it: quorate worker. Look: quorate runs wait {handle.id}")
    return 0


async def watch_vote(runtime: Runtime, handle: RunHandle, *, json: bool, quiet: bool) -> int:
    """Show the ballots of a run until it ends or rests, say what was decided, and return the exit code for that."""
    board, failure, status = BallotBoard(), None, "failed"
    with interruptible(handle) as interrupts:
        with open_board(board, quiet=quiet) as show:
            async for item in handle.stream():
                show(item)
        try:
            status = (await handle.wait()).status
        except QuorateError as error:
            if not is_failed_run(error):
                raise
            failure = error
    record = await _find_record(runtime, board.decision)
    is_resting = status == "waiting" and not interrupts
    asked = await find_asked(runtime, record) if record is not None and is_resting else []
    if json:
        waits = [{"key": one.key, "of": getattr(one.question, "of", "")} for one in asked]
        fault = {"code": failure.code, "message": failure.message} if failure is not None else None
        say_json({"run_id": handle.id, "status": status, "decision": record, "waits_for": waits, "error": fault})
    elif record is not None:
        say_styled(render_result(record))
        if asked:
            say()
            say_all(render_questions(record, asked))
    if record is not None and describe_status(record) == "none":
        return UNDECIDED
    if failure is not None:
        tell(f"quorate: {render_failure(failure, agent=handle.agent)}")
    elif interrupts and status == "waiting":
        tell(f"Stopped. Everything that was done is recorded. Go on with: quorate runs resume {handle.id}")
        return INTERRUPTED
    elif status != "completed" and not asked:
        tell(f"It is {status}: look at `quorate runs show {handle.id}`.")
    return get_status_code(status)


async def _find_record(runtime: Runtime, decision: str) -> Decision | None:
    try:
        return await Decisions(runtime).get(decision) if decision else None
    except NotFound:  # the run ended before anything was opened
        return None


def read_motion_file(path: Path, faults: list[str]) -> dict[str, object]:
    """Read a file that says what is decided, by whom and how; what is wrong with it is added to the faults.

    Raises:
        InvalidInput: It cannot be read.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"`--file {path}` cannot be read: {error}.") from error
    known = {"question", "voters", *Plan.__struct_fields__}
    faults += [
        f"{path}: there is no {name!r:.80}: use {', '.join(sorted(known))}" for name in found if name not in known
    ]
    return {name: value for name, value in found.items() if name in known}


def build_motion(given: Mapping[str, object], faults: list[str]) -> Motion:
    """Build a motion; each field that does not fit is a fault, and left out."""
    fitting: dict[str, object] = {}
    types = {"question": str, "voters": tuple[str, ...]}
    types |= {field.name: cast("type", field.type) for field in structs.fields(Plan)}
    for name, value in given.items():
        try:
            fitting[name] = msgspec.convert(value, types[name], strict=True)
        except msgspec.ValidationError as error:
            faults.append(f"`{name}` does not fit: {error}")
    question, voters = cast("str", fitting.pop("question", "")), cast("tuple[str, ...]", fitting.pop("voters", ()))
    return Motion(question=question, voters=voters, plan=structs.replace(Plan(), **fitting))


def read_numbers(option: str, given: Sequence[str] | None, faults: list[str]) -> dict[str, float]:
    """Read `name=number` pairs; what is none is added to the faults."""
    found: dict[str, float] = {}
    for text in given or ():
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not equals or not name or not math.isfinite(value):
            faults.append(f"`{option} {text[:80]}` is no `name=number`: write it like `{option} lead=2`")
        elif name in found:
            faults.append(f"`{option}` names {name[:80]!r} twice")
        else:
            found[name] = value
    return found
