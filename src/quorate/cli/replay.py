"""What do `quorate runs replay`, `fork` and `diff` do?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.agent.history import load_history
from quorate.agent.replay.compare import Comparison, Row, compare_runs
from quorate.agent.replay.exact import Replay, replay_exactly
from quorate.agent.replay.fixture import build_recording, load_recording, save_recording
from quorate.agent.replay.fork import Change
from quorate.agent.replay.modified import Changes, ModifiedReplay, Policy, replay_modified
from quorate.agent.replay.stepping import Stepper, Stop, open_replay, open_stepped, read_breakpoints
from quorate.agent.result import RunResult
from quorate.cli.console import Line, say, say_all, say_json, say_json_line, say_styled, tell
from quorate.cli.facts import render_event
from quorate.cli.failures import get_status_code
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, LimitOptions, Model, Quiet, RunId, read_limits
from quorate.cli.person import get_user
from quorate.cli.render import build_document, render_report
from quorate.cli.results import go_on, say_result
from quorate.cli.words import align, clean_line, show_cost
from quorate.errors import InvalidInput
from quorate.events import AnyEvent, RunCreated
from quorate.messages import Message
from quorate.ports import Log
from quorate.runtime import Runtime
from quorate.runtime.again import fork as fork_recorded
from quorate.specs import Limits

DIVERGED = 1
MOST_COLUMNS = 60
MARKS = {"same": " ", "changed": "!", "removed": "-", "added": "+"}
STYLES = {"same": "", "changed": "yellow", "removed": "red", "added": "green"}
HELP = "[Enter] next stop  [s]tep to the next event  [m]essages  [u]nder way  [c]ontinue to the end  [q]uit: "

Source = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or a file that `--save` wrote.")]
BreakOn = Annotated[
    list[str] | None,
    typer.Option(
        "--break-on",
        metavar="WHAT",
        help="Stop there: a kind of event (tool.started, 'tool.*'), a step ('2/tool/*'), a place (17), or every=10.",
    ),
]
Instructions = Annotated[
    str | None, typer.Option("--instructions", metavar="TEXT", help="Other instructions; @FILE reads them from a file.")
]


def add_replay_commands(group: typer.Typer) -> None:
    """Add the commands that play runs again to the group `runs`."""
    group.command("replay")(replay_run)
    group.command("fork")(fork)
    group.command("diff")(diff)


def replay_run(
    run: Source,
    *,
    exact: Annotated[bool, typer.Option("--exact", help="Offline, as it was: the default.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at the first difference.")] = False,
    modified: Annotated[bool, typer.Option("--modified", help="Do it anew with something changed; compare.")] = False,
    model: Model = None,
    instructions: Instructions = None,
    without_tool: Annotated[
        list[str] | None, typer.Option("--without-tool", metavar="TOOL", help="Leave a tool out.")
    ] = None,
    limit: LimitOptions = None,
    live_tools: Annotated[
        bool, typer.Option("--live-tools", help="Really make calls that were not recorded, if that does no harm.")
    ] = False,
    allow_unsafe: Annotated[bool, typer.Option("--allow-unsafe", help="… whatever they do.")] = False,
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Tell the model of calls that are not made, instead of stopping.")
    ] = False,
    break_on: BreakOn = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="Keep the run as a test's fixture.")
    ] = None,
    scrub: Annotated[bool, typer.Option("--scrub", help="Put stars for secrets in what is saved.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> int:
    """Play a run again, offline: the same log must come out, byte for byte; or anew, with something changed."""
    given = Changes(
        model=None,
        instructions=_read_instructions(instructions),
        without=tuple(without_tool or ()),
        limits=read_limits(limit, base=Limits()) if limit else None,
    )
    is_modified = modified or model is not None or given != Changes()
    if is_modified and (exact or strict or save or break_on):
        raise InvalidInput("`--exact`, `--strict`, `--save` and `--break-on` are for a replay without changes.")
    policy = Policy(
        tools="live" if live_tools else "recorded",
        missing="refuse" if refuse else "stop",
        allow_unsafe=allow_unsafe,
    )

    async def work(runtime: Runtime) -> int:
        created, events, history = await _read(runtime, run)
        name = model if is_modified and model else created.labels.get("model")
        agent = runtime.find_agent(created.agent, name)
        if is_modified:
            changes = _bound(given, created, limit or ())
            done = await replay_modified(agent, events, changes=changes, policy=policy, history=history)
            return _show_modified(done, json=json)
        if break_on:
            code = await _step_through(agent, events, history, break_on, json=json)
        else:
            again = await replay_exactly(agent, events, history=history, strict=strict)
            code = _show_exact(again, json=json and not save)
        if save and code == 0:
            save_recording(build_recording(events, agent=agent, history=history, scrub=scrub), save, replace=force)
            if json:
                say_json({"run_id": created.run, "identical": True, "saved": save, "events": len(events)})
            else:
                say(f"Saved as {save}: play it again with `quorate runs replay {save}`, or in a test with")
                say(f'  await check_replay(agent, load_recording("{save}"))  # from quorate.testing.recorded')
        return code

    return run_with_runtime(work)


def fork(
    run: RunId,
    *,
    at: Annotated[int, typer.Option("--at", metavar="SEQ", min=1, help="The last event that still counts.")],
    reply: Annotated[str | None, typer.Option("--reply", help="What the model answered there instead.")] = None,
    result: Annotated[str | None, typer.Option("--result", help="What the call gave there instead.")] = None,
    approve: Annotated[
        bool | None, typer.Option("--approve/--reject", help="What was decided there instead.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="What the person told there instead.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    model: Model = None,
    limit: LimitOptions = None,
    rest: Annotated[bool, typer.Option("--rest", help="Only begin it; `quorate runs resume` goes on with it.")] = False,
    break_on: BreakOn = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on, live, from any event of a run as a new run; what was recorded until there is not done again."""
    if sum(one is not None for one in (reply, result, approve, text)) > 1:
        raise InvalidInput(
            "`--reply`, `--result`, `--approve` and `--text` exclude each other: an event has one of them."
        )

    async def work(runtime: Runtime) -> int:
        created, _, _ = await _read(runtime, run)
        limits = read_limits(limit, base=created.limits) if limit else None
        change = Change(reply=reply, result=result, approved=approve, text=text, by=get_user(), reason=reason)
        new = await fork_recorded(runtime, run, at=at, change=change, model=model, limits=limits, by=get_user())
        if rest:
            _say_forked(new, run, at, json=json)
            return 0
        tell(f"Forked {run} at event {at} as {new}.")
        if break_on:
            agent = runtime.find_agent(created.agent, model or created.labels.get("model"))
            return await _step_live(runtime, agent, new, break_on, json=json)
        return await go_on(runtime, new, json=json, quiet=quiet)

    return run_with_runtime(work)


def diff(
    run: Source,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another run, or a file that `--save` wrote.")],
    *,
    json: Json = False,
) -> int:
    """Set two runs side by side: what they answered, step for step, and how alike they are."""

    async def work(runtime: Runtime) -> Comparison:
        _, before, _ = await _read(runtime, run)
        _, after, _ = await _read(runtime, other)
        return compare_runs(before, after)

    found = run_with_runtime(work)
    if json:
        say_json(found)
    else:
        say_styled(_render_comparison(found))
    return 0 if found.divergence is None and found.output_similarity == 1.0 else DIVERGED


async def _read(runtime: Runtime, source: str) -> tuple[RunCreated, Sequence[AnyEvent], Sequence[Message]]:
    """Read a run from the log, or from a file, with the conversation before it."""
    if source.endswith(".jsonl") or "/" in source:
        recording = load_recording(source)
        created = recording.events[0]
        if not isinstance(created, RunCreated):
            raise InvalidInput(f"recording {source!r} does not begin with `run.created`.")
        return created, recording.events, recording.header.history
    await runtime.show(source)
    events = await runtime.log.read(source)
    created = events[0]
    assert isinstance(created, RunCreated)
    return created, events, await load_history(runtime.log, created) if created.previous else ()


def _read_instructions(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"`--instructions {given}` cannot be read: {error}.") from error


def _bound(given: Changes, created: RunCreated, limits: Sequence[str]) -> Changes:
    return structs.replace(given, limits=read_limits(limits, base=created.limits)) if limits else given


def _show_exact(done: Replay[Any], *, json: bool) -> int:
    """Show what an exact replay gave; the exit code says whether it was the same."""
    result = done.result
    if json:
        document = build_document(result) if result is not None else {"run_id": done.recorded[0].run, "output": None}
        extra = {"replayed": True, "identical": done.is_identical, "divergence": done.divergence, "error": done.error}
        say_json({**document, **extra})
    elif done.is_identical:
        say(f"Replayed {done.recorded[0].run} offline: {len(done.events)} events, the same to the byte.")
        if result is not None:
            say_styled(render_report(result))
        elif done.error:
            say(f"It failed again: {clean_line(done.error)}")
    else:
        say_all(_render_divergence(done))
    return 0 if done.is_identical else DIVERGED


def _render_divergence(done: Replay[Any]) -> Iterator[str]:
    found = done.divergence
    assert found is not None
    same = len(done.events)
    yield f"{same} of {len(done.recorded)} events are the same; then they differ:"
    rows = [("event", str(found.seq)), ("step", found.key), ("field", found.path)]
    rows += [("recorded", found.recorded), ("replayed", found.replayed), ("", found.note)]
    yield from align([(name, clean_line(value)) for name, value in rows if value], indent="  ")
    yield f"Look at what was recorded: quorate runs events {done.recorded[0].run} --after {max(0, found.seq - 2)}"


def _show_modified(done: ModifiedReplay[Any], *, json: bool) -> int:
    if json:
        facts = {"error": done.error, "live": done.live, "refused": done.refused}
        say_json({**structs.asdict(done.comparison), **facts})
    else:
        say_styled(_render_comparison(done.comparison))
        if done.live:
            say(f"Really called: {', '.join(done.live)}")
        if done.refused:
            say(f"Not called, as nothing like it was recorded: {', '.join(done.refused)}")
        if done.error:
            tell(f"quorate: the replay stopped: {clean_line(done.error)}")
    return DIVERGED if done.error else get_status_code(done.comparison.replayed.status)


def _render_comparison(found: Comparison) -> Iterator[Line]:
    before, after = found.recorded, found.replayed
    yield from (("", line) for line in align([
        ("", "recorded", "replayed"),
        ("run", before.run, after.run),
        ("status", before.status, after.status),
        ("tokens", str(before.usage.total_tokens), str(after.usage.total_tokens)),
        ("cost", show_cost(before.cost_usd), show_cost(after.cost_usd)),
    ]))  # fmt: skip
    yield "", f"output {found.output_similarity:.0%} alike, steps {found.step_similarity:.0%} alike"
    yield "", ""
    for row in found.rows:
        yield STYLES[row.change], _render_row(row)
    if before.output != after.output:
        yield "", ""
        yield "bold", "Recorded answer"
        yield "", before.output or "(none)"
        yield "bold", "Replayed answer"
        yield "", after.output or "(none)"


def _render_row(row: Row) -> str:
    left = clean_line(row.recorded.text, most=MOST_COLUMNS) if row.recorded is not None else ""
    right = clean_line(row.replayed.text, most=MOST_COLUMNS) if row.replayed is not None else ""
    seq = row.recorded.seq if row.recorded is not None else ""
    return f"{MARKS[row.change]} {seq!s:>4}  {left:<{MOST_COLUMNS}}  {'=' if row.change == 'same' else right}".rstrip()


async def _step_through(
    agent: AnyAgent, events: Sequence[AnyEvent], history: Sequence[Message], words: Sequence[str], *, json: bool
) -> int:
    async with open_replay(agent, events, breakpoints=read_breakpoints(words), history=history) as stepper:
        if not await _look(stepper, began=events[0].time, json=json):
            return 0
        return _show_exact(await stepper.finish(), json=json)


async def _step_live(runtime: Runtime, agent: AnyAgent, run: str, words: Sequence[str], *, json: bool) -> int:
    async def resume(log: Log) -> RunResult[Any]:
        return await agent.resume(run, log=log)

    began = (await runtime.log.read(run, limit=1))[0].time
    async with open_stepped(runtime.log, run, resume, breakpoints=read_breakpoints(words)) as stepper:
        if not await _look(stepper, began=began, json=json):
            tell(f"It rests. Go on with: quorate runs resume {run}")
            return 0
        result = await stepper.finish()
        say_result(result, json=json)
        return get_status_code(result.status)


async def _look(stepper: Stepper[Any], *, began: float, json: bool) -> bool:
    """Show each stop, and ask what to do where somebody sits at a terminal; say whether to go on to the end."""
    ask = not json and sys.stdin.isatty()
    stop = await stepper.resume()
    while stop is not None:
        if json:
            say_json_line(_build_stop(stop))
        else:
            say_all(_render_stop(stop, began=began))
        move: Callable[[], Awaitable[Stop | None]] = stepper.resume
        if ask:
            word = await _ask(stop)
            if word in ("q", "c"):
                return word == "c"
            move = stepper.step if word == "s" else stepper.resume
        stop = await move()
    return True


async def _ask(stop: Stop) -> str:
    while True:
        word = (await asyncio.to_thread(input, HELP)).strip().lower()[:1]
        if word == "m":
            say_all(f"{message.role}: {clean_line(message.text, most=200)}" for message in stop.messages)
        elif word == "u":
            say_all(stop.under_way or ["nothing is under way"])
        elif word in ("", "s", "c", "q"):
            return word


def _build_stop(stop: Stop) -> dict[str, object]:
    return {
        "stopped": stop.reason,
        "event": stop.event,
        "status": stop.status,
        "turn": stop.turn,
        "messages": stop.messages,
        "usage": stop.usage,
        "cost_usd": stop.cost_usd,
        "under_way": stop.under_way,
    }


def _render_stop(stop: Stop, *, began: float) -> Iterator[str]:
    yield render_event(stop.event, began=began)
    tokens, under = stop.usage.total_tokens, len(stop.under_way)
    facts = f"turn {stop.turn}, {len(stop.messages)} messages, {tokens} tokens, {show_cost(stop.cost_usd)}"
    yield f"      stopped ({stop.reason}): {stop.status}, {facts}, {under} calls under way"


def _say_forked(new: str, run: str, at: int, *, json: bool) -> None:
    if json:
        say_json({"run_id": new, "status": "waiting", "forked_from": run, "at": at})
    else:
        say(f"Forked {run} at event {at} as {new}. Go on with: quorate runs resume {new}")
