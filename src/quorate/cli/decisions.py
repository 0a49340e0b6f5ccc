"""What does `quorate decisions` do?"""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from msgspec import structs

from quorate.agent.history import load_history
from quorate.agent.replay.exact import Replay, replay_exactly
from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.decide import read_numbers
from quorate.cli.decision_words import (
    describe_status,
    is_hidden,
    render_entries,
    render_questions,
    render_record,
)
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, read_word
from quorate.cli.person import get_user
from quorate.cli.words import align, clean_line
from quorate.council.ballot import Ballot, Vote
from quorate.council.decision import Decision, Round, Verification
from quorate.council.outcomes import OutcomeReport
from quorate.council.quality import Interval, QualityReport
from quorate.council.registrar import Entry
from quorate.council.tally import Verdict, tally
from quorate.council.trust import Source
from quorate.errors import CorruptState, InvalidFiles, InvalidInput, UnknownName
from quorate.events import RunCreated
from quorate.runtime import Runtime
from quorate.runtime.ballots import cast_ballot, find_asked
from quorate.runtime.decisions import Decisions
from quorate.runtime.outcomes import Outcomes
from quorate.runtime.questions import OpenQuestion

DIFFERS = 1
MOST_LISTED, PAGE = 20, 200
Standing = Literal["open", "decided", "none"]
STANDINGS: tuple[Standing, ...] = ("open", "decided", "none")
DecisionId = Annotated[str, typer.Argument(metavar="DECISION", help="The decision's id.")]
Many = list[str] | None


def add_commands(app: typer.Typer) -> None:
    """Add the commands about decisions."""
    group = typer.Typer(
        help="List, show, verify and replay decisions, vote, and say what turned out to be right.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("list")(list_decisions)
    group.command("show")(show)
    group.command("cast")(cast)
    group.command("verify")(verify)
    group.command("replay")(replay)
    group.command("outcome")(outcome)
    group.command("quality")(quality)
    app.add_typer(group, name="decisions")


def list_decisions(
    *,
    status: Annotated[str | None, typer.Option("--status", help="Only those that are open, decided or none.")] = None,
    after: Annotated[str, typer.Option("--after", metavar="DECISION", help="Go on behind a decision.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List decisions, the oldest first."""
    chosen = read_word("status", status, STANDINGS)

    async def work(runtime: Runtime) -> list[Entry]:
        decisions, found, place = Decisions(runtime), list[Entry](), after
        while page := await decisions.list_entries(after=place, limit=PAGE):
            found += [one for one in page if chosen in (None, describe_status(one))]
            place = page[-1].id
            if len(found) >= limit or len(page) < PAGE:
                break
        return found[:limit]

    found = run_with_runtime(work)
    more = found[-1].id if len(found) == limit else ""
    if json:
        say_json({"decisions": found, "next": more})
        return
    say_all(render_entries(found))
    if more:
        tell(f"Further ones: the same with --after {more}")


def show(
    decision: DecisionId,
    *,
    ballots: Annotated[bool, typer.Option("--ballots", help="Show each ballot in full.")] = False,
    json: Json = False,
) -> None:
    """Show the record of a decision: what was asked, who voted for what and why, and what came of it."""

    async def work(runtime: Runtime) -> tuple[Decision, list[OpenQuestion]]:
        record = await Decisions(runtime).get(decision)
        return record, await find_asked(runtime, record) if record.is_open else []

    record, asked = run_with_runtime(work)
    if json:
        rounds = tuple(_hide(one) for one in record.rounds)
        say_json(structs.replace(record, rounds=rounds))
        return
    say_all(render_record(record, with_ballots=ballots))
    if asked:
        say()
        say_all(render_questions(record, asked))


def cast(
    decision: DecisionId,
    *,
    choice: Annotated[str, typer.Option("--choice", "-c", metavar="OPTION", help="The option you are for.")] = "",
    approve: Annotated[Many, typer.Option("--approve", metavar="OPTION", help="One that you could live with.")] = None,
    rank: Annotated[Many, typer.Option("--rank", metavar="OPTION", help="The best first; once for each.")] = None,
    score: Annotated[Many, typer.Option("--score", metavar="OPTION=NUMBER", help="How good one is.")] = None,
    veto: Annotated[Many, typer.Option("--veto", metavar="OPTION", help="One that must not be.")] = None,
    abstain: Annotated[bool, typer.Option("--abstain", help="Be present, and for none of them.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded with your ballot.")] = "",
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="How sure you are to be right, 0 to 1.")
    ] = None,
    evidence: Annotated[Many, typer.Option("--evidence", metavar="TEXT", help="What you go by.")] = None,
    ballot: Annotated[
        str | None, typer.Option("--ballot", metavar="JSON", help="The whole ballot, such as one that you signed.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who votes; your user name by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Vote where a decision waits for you, or decide where it waits for that."""
    faults: list[str] = []
    scores = read_numbers("--score", score, faults)
    given: Ballot | str = Ballot(
        choice=choice,
        approved=tuple(approve or ()),
        ranking=tuple(rank or ()),
        scores=scores,
        vetoes=tuple(veto or ()),
        abstains=abstain,
        reason=reason,
        confidence=confidence,
        evidence=tuple(evidence or ()),
    )
    if ballot is not None:
        faults += [] if given == Ballot() else ["`--ballot` is a whole ballot: leave out what says a part of it"]
        given = ballot
    if faults:
        raise InvalidFiles("the ballot", faults)

    async def work(runtime: Runtime) -> OpenQuestion:
        return await cast_ballot(runtime, decision, given, by=by or get_user())

    asked = run_with_runtime(work)
    if json:
        say_json({"decision": decision, "run": asked.run, "key": asked.key, "by": by or get_user()})
    else:
        say(f"Taken. A worker goes on with it, or you do: quorate runs resume {asked.run}")


def verify(decision: DecisionId, *, json: Json = False) -> int:
    """Count the ballots of a decision again and compare all that was noted; exit code 1 when it does not hold."""

    async def work(runtime: Runtime) -> tuple[Verification, bool]:
        try:
            record = await Decisions(runtime).get(decision)
            return await Decisions(runtime).verify(decision), bool(record.seal)
        except CorruptState as error:
            return Verification(decision=decision, winner=None, faults=(error.message,)), False

    found, has_seal = run_with_runtime(work)
    if json:
        say_json({**structs.asdict(found), "holds": found.holds})
        return 0 if found.holds else DIFFERS
    if found.holds:
        won = "nothing was decided" if found.winner is None else f"{clean_line(found.winner)} won"
        say(f"It holds: counted again, {won}, and nothing was changed since.")
        if found.is_sealed:
            say("The council's secret seals it.")
        elif has_seal:
            say("It is sealed, and no secret is set here (`council.secret`) by which the seal could be checked.")
        else:
            say("No secret seals it: whoever can write the database could have written all of it anew.")
        return 0
    faults = len(found.faults)
    say(f"It does not hold: {faults} fault{'s' if faults > 1 else ''}.")
    say_all(f"  {clean_line(fault)}" for fault in found.faults)
    return DIFFERS


def replay(decision: DecisionId, *, json: Json = False) -> int:
    """Count the ballots again, and play the decision's run again, offline; exit code 1 when either differs.

    A run whose agent is not known here, such as a program's own, is not played again; its ballots are counted.
    """

    async def work(runtime: Runtime) -> tuple[Decision, Replay[object] | str]:
        record = await Decisions(runtime).get(decision)
        events = await runtime.log.read(record.run)
        created = events[0]
        assert isinstance(created, RunCreated)  # the record was read from it
        history = await load_history(runtime.log, created) if created.previous else ()
        try:
            agent = runtime.find_agent(created.agent, created.labels.get("model"))
        except UnknownName:
            return record, f"Run {record.run} is not played again: the agent {created.agent!r} is not known here."
        return record, await replay_exactly(agent, events, history=history)

    record, again = run_with_runtime(work)
    counted = [(one, _count(one)) for one in record.rounds if one.status != "open"]
    is_same = all((one.status, one.winner, one.points) == (new.status, new.winner, new.points) for one, new in counted)
    is_whole = is_same and (isinstance(again, str) or again.is_identical)
    if json:
        rounds = [{"number": one.number, "noted": one.winner, "counted": new.winner} for one, new in counted]
        said = {"decision": decision, "same": is_whole, "ballots": rounds, "run": record.run}
        played = (None, again) if isinstance(again, str) else (again.is_identical, again.divergence)
        say_json({**said, "identical": played[0], "divergence": played[1]})
        return 0 if is_whole else DIFFERS
    for one, new in counted:
        say(f"Ballot {one.number} counted again: {_describe(new)}; noted was: {one.status}, {_name(one.winner)}.")
    if isinstance(again, str):
        say(again)
    else:
        same = f"the same {len(again.recorded)} events, to the byte"
        say(f"Run {record.run} played again offline: {same if again.is_identical else _describe_divergence(again)}.")
    say("It is the same." if is_whole else "It is different.")
    return 0 if is_whole else DIFFERS


def outcome(
    decision: DecisionId,
    *,
    truth: Annotated[str, typer.Option("--truth", metavar="OPTION", help="Which option was right.")],
    reason: Annotated[str, typer.Option("--reason", help="How that is known; it is recorded.")] = "",
    worth: Annotated[
        Many, typer.Option("--worth", metavar="OPTION=NUMBER", help="What an option would have been worth.")
    ] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Replace what was said before.")] = False,
    json: Json = False,
) -> None:
    """Say what turned out to be right: it is measured how good the decision was, and voters are trusted accordingly."""
    faults: list[str] = []
    utilities = read_numbers("--worth", worth, faults)
    if faults:
        raise InvalidInput(f"{'; '.join(faults)}.")

    async def work(runtime: Runtime) -> OutcomeReport:
        source = Source(principal=get_user())
        return await Outcomes(runtime).record(
            decision, truth, source=source, reason=reason, utilities=utilities or None, corrects=correct
        )

    report = run_with_runtime(work)
    if json:
        say_json(report)
        return
    figures = report.figures
    right = "not known" if figures.is_right is None else "right" if figures.is_right else "wrong"
    rows = [("decision", right), ("agreement", _share(figures.agreement))]
    rows += [("Brier score", f"{figures.brier:.3f}")] if figures.brier is not None else []
    rows += [("regret", f"{figures.regret:g}")] if figures.regret is not None else []
    say("Noted." if report.is_new else "That was known.")
    say_all(align(rows, indent="  "))
    noted = report.noted
    say(f"Trust: {noted.counted} new, {noted.corrected} corrected, {noted.known} known. See `quorate trust list`.")


def quality(*, json: Json = False) -> None:
    """Show how good decisions were of which it is known what was right, and how often each voter was."""

    async def work(runtime: Runtime) -> QualityReport:
        return await Outcomes(runtime).measure()

    found = run_with_runtime(work)
    if json:
        say_json(found)
        return
    if not found.decisions:
        say("It is known of no decision what was right: `quorate decisions outcome DECISION --truth OPTION`.")
        return
    rows = [("decisions", str(found.decisions)), ("right", _show_interval(found.council))]
    rows += [(f"  {clean_line(name)}", _show_interval(one)) for name, one in sorted(found.members.items())]
    if found.best_member:
        rows.append(("best member", clean_line(found.best_member)))
    figures = (
        ("agreement", found.agreement), ("beyond chance (alpha)", found.alpha), ("Brier score", found.brier),
        ("calibration error", found.calibration_error), ("regret", found.regret),
    )  # fmt: skip
    rows += [(name, f"{value:.3f}") for name, value in figures if value is not None]
    say_all(align(rows))


def _hide(one: Round) -> Round:
    """Leave out what is not to be seen of a vote that is open."""
    return structs.replace(one, ballots=(), refused=()) if is_hidden(one) else one


def _count(one: Round) -> Verdict:
    return tally(one.terms, [Vote(voter=cast.voter, ballot=cast.ballot) for cast in one.ballots])


def _describe(verdict: Verdict) -> str:
    return f"{verdict.status}, {_name(verdict.winner)} ({clean_line(verdict.why, most=120)})"


def _describe_divergence(again: Replay[object]) -> str:
    found = again.divergence
    where = "" if found is None else f", from event {found.seq} on: `quorate runs replay {again.recorded[0].run}`"
    return f"it differs{where}"


def _name(winner: str | None) -> str:
    return "no winner" if winner is None else clean_line(winner, most=60)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _show_interval(one: Interval | None) -> str:
    if one is None:
        return "–"
    return f"{one.share:.0%} of {one.number}  (95 % sure: {one.low:.0%} to {one.high:.0%})"
