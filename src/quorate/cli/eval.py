"""What does `quorate eval` do?"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct, structs

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import set_logging
from quorate.cli.options import Json, Quiet
from quorate.cli.watch import INTERRUPTED, run_async
from quorate.errors import InvalidInput

if TYPE_CHECKING:
    from quorate.assembly import Parts
    from quorate.catalog.evaluation.case import Case
    from quorate.catalog.evaluation.compare import Comparison
    from quorate.catalog.evaluation.report import Configuration, Record, Report
    from quorate.catalog.evaluation.saved import Book, Heading
    from quorate.ports import Model
    from quorate.runtime import Runtime
    from quorate.runtime.evaluation.judging import Judge
    from quorate.runtime.evaluation.running import Evaluation, Note
    from quorate.settings import Settings

ALL = "all"
MOST_CONCURRENCY = 256
Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", help="Files of cases, and directories with such files.")
]
Agents = Annotated[
    list[str] | None,
    typer.Option("--agents", metavar="NAME", help="The cases that an agent's file carries; all for all agents."),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Only cases with a tag.")]
Names = Annotated[list[str] | None, typer.Option("--case", metavar="ID", help="Only these cases.")]
GivenModel = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="Instead of the agents' own; scripted plays the scripts."),
]
JudgeName = Annotated[str, typer.Option("--judge", metavar="AGENT", help="Who scores by rubrics.")]
JudgeModel = Annotated[
    str, typer.Option("--judge-model", metavar="MODEL", help="The judge's model; by itself, that of a plain judge.")
]
Repeat = Annotated[int, typer.Option("--repeat", "-k", min=1, max=1000, help="How often each case is run.")]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, max=MOST_CONCURRENCY, help="How many cases at once.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the draws that intervals are made by.")]
MinPass = Annotated[
    float, typer.Option("--min-pass", metavar="SHARE", min=0.0, max=1.0, help="Below this, the exit code is 1.")
]
Save = Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write each record to a file as it comes.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the file: what it has is not run again.")]
From = Annotated[Path | None, typer.Option("--from", metavar="FILE", help="Run nothing: report what a file has.")]
Before = Annotated[Path | None, typer.Option("--compare", metavar="FILE", help="Compare with an earlier file.")]
NotWorse = Annotated[bool, typer.Option("--not-worse", help="With --compare: the exit code is 1 when it is worse.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write a report as JUnit XML.")]
Files = Annotated[Path | None, typer.Option("--workspace", metavar="DIR", help="The files that agents may read.")]
Offers = Annotated[
    list[str] | None,
    typer.Option("--offer", metavar="KEY=NAME", help="What cases may need, such as postgres=DATABASE."),
]
Check = Annotated[bool, typer.Option("--check", help="Run nothing: only check the cases.")]


class Order(Struct, kw_only=True):
    """What was asked for."""

    paths: Sequence[Path]
    agents: Sequence[str]
    tags: Sequence[str]
    names: Sequence[str]
    configuration: Configuration
    concurrency: int
    save: Path | None
    resume: bool
    workspace: Path | None
    offers: Sequence[str]
    quiet: bool


def add_commands(app: typer.Typer) -> None:
    """Add `eval`."""
    app.command("eval")(evaluate)


def evaluate(
    paths: Paths = None,
    *,
    agents: Agents = None,
    tag: Tags = None,
    case: Names = None,
    model: GivenModel = None,
    judge: JudgeName = "",
    judge_model: JudgeModel = "",
    repeat: Repeat = 1,
    concurrency: Concurrency = 4,
    seed: Seed = 0,
    min_pass: MinPass = 1.0,
    save: Save = None,
    resume: Resume = False,
    load: From = None,
    compare: Before = None,
    not_worse: NotWorse = False,
    junit: Junit = None,
    workspace: Files = None,
    offer: Offers = None,
    check: Check = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go through cases, grade what came, and say how sure the figures are; exit code 1 below a threshold.

    Each case is a recorded run. Ctrl-C reports what is there; with --save, --resume goes on.
    """
    from quorate.catalog.evaluation.report import Configuration
    from quorate.cli.app import get_version

    if resume and save is None:
        raise InvalidInput("`--resume` goes on with a file: name it by `--save FILE`.")
    if not_worse and compare is None:
        raise InvalidInput("`--not-worse` is said of a comparison: name what with by `--compare FILE`.")
    configuration = Configuration(
        model=model or "", judge=judge, judge_model=judge_model, repeats=repeat, seed=seed, version=get_version()
    )
    order = Order(
        paths=paths or (),
        agents=agents or (),
        tags=tag or (),
        names=case or (),
        configuration=configuration,
        concurrency=concurrency,
        save=save,
        resume=resume,
        workspace=workspace,
        offers=offer or (),
        quiet=quiet,
    )
    if check:
        return _check(order, json=json)
    before = None if compare is None else _read(compare)
    report, interrupted = _load(load, order)
    if junit is not None:
        _write_junit(junit, report)
    found = None if before is None else _compare(before, report)
    code = _tell(report, found, min_pass=min_pass, not_worse=not_worse, json=json)
    return interrupted or code


def _load(source: Path | None, order: Order) -> tuple[Report, int]:
    """Read a report, or make one; and the exit code of who was interrupted."""
    if source is None:
        return _run(order)
    if order.paths or order.agents or order.save:
        raise InvalidInput("`--from` runs nothing: leave cases, `--agents` and `--save` out.")
    return _read(source), 0


def _read(path: Path) -> Report:
    from quorate.catalog.evaluation.saved import read_book

    return read_book(path)


def _compare(before: Report, report: Report) -> Comparison:
    from quorate.catalog.evaluation.compare import compare

    return compare(before.records, report.records, seed=report.configuration.seed)


def _tell(report: Report, found: Comparison | None, *, min_pass: float, not_worse: bool, json: bool) -> int:
    from quorate.cli.eval_words import render_comparison, render_report

    passes = report.figures.rate >= min_pass and bool(report.records)
    is_worse = found is not None and found.verdict == "worse"
    if json:
        facts: dict[str, object] = {**structs.asdict(report), "is_partial": report.is_partial}
        say_json({**facts, "min_pass": min_pass, "passes": passes, "comparison": found})
    else:
        say_all(render_report(report))
        if found is not None:
            say()
            say_all(render_comparison(found))
    if not passes:
        tell(f"quorate: {report.figures.rate * 100:.1f} % passed, and {min_pass * 100:g} % must.")
    if is_worse and not_worse:
        tell("quorate: it is worse than before.")
    return 0 if passes and not (is_worse and not_worse) else 1


def _check(order: Order, *, json: bool) -> int:
    from quorate.assembly import Parts

    cases = _find_cases(order, Parts(_load_settings(order), {}))
    if json:
        say_json({"cases": [case.id for case in cases], "faults": ()})
    else:
        say(f"{len(cases)} cases, no faults.")
    return 0


def _load_settings(order: Order) -> Settings:
    from quorate.settings import load_settings

    settings = load_settings()
    if order.workspace is not None:
        settings = structs.replace(settings, workspace=str(order.workspace.resolve()))
    return settings


def _find_cases(order: Order, parts: Parts) -> tuple[Case, ...]:
    """Read the cases of the files, and of the agents that were named.

    Raises:
        InvalidFiles: Some do not hold together; every fault is listed.
        InvalidInput: There are none.
    """
    from quorate.catalog.evaluation.load import load_cases
    from quorate.catalog.evaluation.select import select_cases
    from quorate.runtime.evaluation.scripts import NAME

    cases = load_cases(order.paths, agents=parts.list_agents()) if order.paths else ()
    if order.agents:
        from quorate.catalog.evaluation.agent_cases import list_agent_cases

        named = None if ALL in order.agents else order.agents
        cases += list_agent_cases(parts.catalog, named, scripted=order.configuration.model == NAME)
    return select_cases(cases, tags=order.tags, names=order.names)


def _run(order: Order) -> tuple[Report, int]:
    """Go through all cases."""
    from quorate.assembly import Parts, open_runtime
    from quorate.catalog.evaluation.report import build_report
    from quorate.catalog.evaluation.saved import Heading, open_book
    from quorate.cli.bars import open_bar
    from quorate.ids import new_id
    from quorate.runtime.evaluation.scripts import NAME, build_scripted_model

    settings = _load_settings(order)
    set_logging(settings)
    cases = _find_cases(order, Parts(settings, {}))
    planned = len(cases) * order.configuration.repeats
    fresh = Heading(id=new_id("eval"), planned=planned, configuration=order.configuration)
    scripted = build_scripted_model(cases)

    async def open_and_work(book: Book | None) -> tuple[Report, int]:
        heading = fresh if book is None else book.heading
        async with open_runtime(settings, models={NAME: scripted}) as runtime:
            evaluation = _build_evaluation(runtime, order, heading, given={NAME: scripted})
            with open_bar("cases", planned, quiet=order.quiet, unit_bytes=False) as advance:
                evaluation.note = _build_note(order, book, advance)
                with _interruptible(evaluation) as seen:
                    records = await evaluation.run(cases, known=() if book is None else book.records)
        report = build_report(heading.id, records, planned=planned, configuration=order.configuration)
        return report, INTERRUPTED if seen else 0

    opened = nullcontext(None) if order.save is None else open_book(order.save, fresh, resume=order.resume)
    with opened as book:
        return run_async(open_and_work(book))


def _build_note(order: Order, book: Book | None, advance: Callable[[int], None]) -> Note:
    from quorate.cli.eval_words import render_record

    async def note(record: Record) -> None:
        if book is not None:
            await asyncio.to_thread(book.add, record)
        advance(1)
        if record.outcome not in ("passed", "skipped") and not order.quiet:
            tell(render_record(record))

    return note


def _build_evaluation(runtime: Runtime, order: Order, heading: Heading, *, given: Mapping[str, Model]) -> Evaluation:
    from quorate.assembly import Parts
    from quorate.runtime.evaluation.running import Evaluation, Options

    parts = Parts(runtime.settings, given)
    parts.gateway = runtime.gateway
    configuration = order.configuration
    options = Options(
        id=heading.id,
        model=configuration.model or None,
        repeats=configuration.repeats,
        concurrency=order.concurrency,
        furnish=lambda folder, models: parts.with_place(folder, models=models).find_agent,
        offers=_read_offers(order.offers),
    )
    return Evaluation(runtime, options, judge=_build_judge(runtime, order, given))


def _read_offers(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, equals, word = item.partition("=")
        if not equals or not name or not word:
            raise InvalidInput(f"`--offer {item}` has no name: write it like `--offer postgres=shop`.")
        found[name] = word
    return found


def _build_judge(runtime: Runtime, order: Order, given: Mapping[str, Model]) -> Judge:
    """Build the judge: the agent that was named, or a plain one over the model that was."""
    from quorate.runtime.evaluation.judging import build_judge

    agent, model = order.configuration.judge, order.configuration.judge_model
    if agent or not model:
        return build_judge(runtime, agent=agent, model=model or None)
    assert runtime.gateway is not None
    return build_judge(runtime, model=given[model] if model in given else runtime.gateway.find_model(model))


@contextmanager
def _interruptible(evaluation: Evaluation) -> Generator[list[int]]:
    """Let signals stop the evaluation instead of the process; the list holds those that came."""
    loop, seen = asyncio.get_running_loop(), list[int]()

    def on_signal(number: int) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(INTERRUPTED)
        tell("Stopping … (again to leave at once)")
        evaluation.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield seen
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _write_junit(path: Path, report: Report) -> None:
    from quorate.catalog.evaluation.junit import write_junit

    try:
        path.write_text(write_junit(report), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be written: {error.strerror}.") from error
