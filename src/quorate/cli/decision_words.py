"""How does the record of a decision read?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from quorate.cli.console import Line
from quorate.cli.words import align, clean, clean_line, show_duration, show_time
from quorate.codec.json import encode_text
from quorate.council.chair import describe_choice
from quorate.council.decision import CastBallot, Decision, Round
from quorate.council.plan import PERSON
from quorate.council.registrar import Entry
from quorate.council.rules.table import read_rule
from quorate.council.signing import Paper, digest_terms
from quorate.runtime.questions import OpenQuestion

MOST_REASON = 90
TYPED = {
    "choice": "--choice OPTION",
    "approved": "--approve OPTION --approve OPTION",
    "ranking": "--rank BEST --rank NEXT",
    "scores": "--score OPTION=NUMBER --score OPTION=NUMBER",
}
"""How each field of a ballot is typed."""
BY = {"vote": "by vote", "arbiter": "by an arbiter, as the vote decided nothing", "person": "by a person"}


def describe_status(one: Entry | Decision) -> str:
    """Say in a word how a decision stands."""
    if not one.by:
        return "open"
    return "none" if one.by == "none" else "decided"


def render_result(record: Decision) -> Iterator[Line]:
    """Write what came of a decision, and what to type next."""
    if record.winner is not None:
        yield "bold green", f"Decided: {clean_line(record.winner)}  ({BY.get(record.by, record.by)})"
    elif record.by == "none":
        yield "bold yellow", "Nothing is decided."
    else:
        yield "bold yellow", "It is open still."
    yield from (("", line) for line in align(_list_facts(record)))
    yield "", ""
    yield from (("dim", line) for line in render_next(record))


def render_next(record: Decision) -> Iterator[str]:
    """Write what can be typed next about a decision."""
    rows = [(f"  quorate decisions show {record.id} --ballots", "the record, ballot by ballot")]
    if not record.is_open:
        rows.append((f"  quorate decisions verify {record.id}", "counts the ballots again"))
    if record.winner is not None:
        truth = shlex.quote(clean_line(record.winner, most=60))
        rows.append((f"  quorate decisions outcome {record.id} --truth {truth}", "once you know what was right"))
    yield f"Decision {record.id}"
    yield from align(rows)


def render_record(record: Decision, *, with_ballots: bool) -> Iterator[str]:
    """Write the record of a decision: its question, each vote, and how it ended."""
    facts = [("decision", record.id), ("run", record.run), ("opened", f"{show_time(record.opened)} UTC")]
    if record.closed is not None:
        facts.append(("took", show_duration(max(0.0, record.closed - record.opened))))
    yield from align(facts)
    yield ""
    yield from (f"  | {line}" for line in clean(record.question).splitlines())
    for one in record.rounds:
        yield ""
        yield from _render_round(one, with_ballots=with_ballots)
    yield ""
    won = "nothing" if record.winner is None else clean_line(record.winner)
    yield f"Decided: {won}  ({BY.get(record.by, describe_status(record))})"
    if record.why:
        yield f"  {clean_line(record.why)}"


def render_questions(record: Decision, asked: list[OpenQuestion]) -> Iterator[str]:
    """Write whom a decision waits for, and what they type."""
    for one in asked:
        of = getattr(one.question, "of", "")
        by = f" --by {shlex.quote(clean_line(of))}" if of else ""
        until = f", until {show_time(one.expires)} UTC" if one.expires is not None else ""
        yield f"It waits for {clean_line(of) or 'somebody'}{until}:"
        seat = next((seat for seat in record.last.terms.roll if of and seat.voter == f"{PERSON}{of}"), None)
        if seat is not None and seat.key:
            paper = Paper(
                decision=record.id, round=record.last.number, terms=digest_terms(record.last.terms), voter=seat.voter
            )
            yield f"  signed over {clean_line(encode_text(paper))}:"
            yield f"  quorate decisions cast {record.id} --ballot JSON{by}"
        else:
            yield f"  quorate decisions cast {record.id} {_show_form(record.last, one)}{by}"
    yield f"Then a worker goes on with it, or you do: quorate runs resume {record.run}"
    yield f"What came of it: quorate decisions show {record.id}"


def render_entries(found: list[Entry]) -> list[str]:
    """Write a list of decisions."""
    rows = [
        (
            one.id,
            describe_status(one),
            show_time(one.opened),
            clean_line(one.rule, most=24),
            clean_line(one.winner or "–", most=30),
            clean_line(one.question, most=60),
        )
        for one in found
    ]
    return align(rows) or ['There are no such decisions. Make one: `quorate decide "…" --option a --option b …`.']


def _show_form(last: Round, one: OpenQuestion) -> str:
    """Write how a ballot is typed for a rule; where a person decides, they name an option."""
    is_ruling = bool(getattr(one.question, "choices", ()))
    form = ("choice",) if is_ruling else read_rule(last.terms.rule).form
    return " ".join(TYPED[field] for field in form if field in TYPED)


def _list_facts(record: Decision) -> list[tuple[str, ...]]:
    facts: list[tuple[str, ...]] = [("  why", clean_line(record.why))] if record.why else []
    if not record.rounds:
        return facts
    last = record.last
    present, eligible = len(last.ballots), len(last.terms.roll)
    rule = clean_line(last.terms.rule)
    if last.status == "open":
        return [*facts, ("  ballots", f"{present} of {eligible} are in, rule {rule}")]
    facts.append(("  turnout", f"{present} of {eligible} ({last.turnout:.0%}), rule {rule}"))
    if last.points:
        facts.append(("  points", _show_points(last)))
    if last.margin is not None:
        facts.append(("  margin", f"{last.margin:g}"))
    facts.append(("  dissent", clean_line(", ".join(last.dissent)) or "none"))
    if len(record.rounds) > 1:
        facts.append(("  rounds", str(len(record.rounds))))
    return facts


def _show_points(one: Round) -> str:
    ordered = sorted(one.points.items(), key=lambda item: -item[1])
    return clean_line(", ".join(f"{option}: {points:g}" for option, points in ordered), most=200)


def _render_round(one: Round, *, with_ballots: bool) -> Iterator[str]:
    terms = one.terms
    secret = ", secret" if terms.secret else ""
    yield f"Ballot {one.number}: {clean_line(terms.rule)}, quorum {terms.quorum:g}, ties: {terms.tie}{secret}"
    if is_hidden(one):
        yield "  The vote is secret, and open: no ballot is shown before it is closed."
        return
    rows = [("voter", "weight", "ballot", "reason")]
    rows += [_build_row(cast) for cast in one.ballots]
    rows += [
        (clean_line(no.voter), "", f"({clean_line(no.why)})", clean_line(no.detail, most=60)) for no in one.refused
    ]
    yield from align(rows, indent="  ")
    if with_ballots:
        for cast in one.ballots:
            yield from _render_ballot(cast)
    if one.status != "open":
        yield f"  {one.status.replace('_', ' ')}: {clean_line(one.why)}"
        dissent = clean_line(", ".join(one.dissent)) or "none"
        margin = "–" if one.margin is None else f"{one.margin:g}"
        yield f"  {_show_points(one)}; margin {margin}; turnout {one.turnout:.0%}; dissent: {dissent}"


def is_hidden(one: Round) -> bool:
    """Whether the ballots of a vote are not to be shown yet."""
    return one.terms.secret and one.status == "open"


def _build_row(cast: CastBallot) -> tuple[str, ...]:
    chosen = clean_line(describe_choice(cast.ballot), most=60)
    return clean_line(cast.voter), f"{cast.weight:g}", chosen, clean_line(cast.ballot.reason, most=MOST_REASON)


def _render_ballot(cast: CastBallot) -> Iterator[str]:
    kind = "a person" if cast.voter.startswith(PERSON) else "an agent"
    signed = f"signed ({clean_line(cast.signature.partition(':')[0])})" if cast.signature else "not signed"
    sure = "" if cast.ballot.confidence is None else f", {cast.ballot.confidence:.0%} sure"
    yield ""
    yield f"  {clean_line(cast.voter)} ({kind}{sure}), {signed}, {show_time(cast.time)} UTC"
    yield f"    {clean_line(describe_choice(cast.ballot))}"
    yield from (f"    | {line}" for line in clean(cast.ballot.reason).splitlines())
    yield from (f"    - {clean_line(fact)}" for fact in cast.ballot.evidence)
