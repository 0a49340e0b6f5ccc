"""Whom does a decision wait for, and how does somebody vote?"""

from __future__ import annotations

from quorate.codec.json import decode
from quorate.council.ballot import Ballot
from quorate.council.decision import Decision
from quorate.council.plan import PERSON
from quorate.council.rules.table import MAX_BALLOT_BYTES, read_ballot, read_rule
from quorate.council.signing import SignedBallot, write_ballot
from quorate.errors import Conflict, Forbidden, InvalidInput, UnknownName
from quorate.events import AnyEvent, InputRequested, VoteOpened
from quorate.runtime.control import read_run
from quorate.runtime.decisions import Decisions
from quorate.runtime.questions import OpenQuestion, list_open
from quorate.runtime.runtime import Runtime


async def find_asked(runtime: Runtime, record: Decision) -> list[OpenQuestion]:
    """Find whom a decision waits for: those who are asked for a ballot, or to decide in its place.

    Args:
        runtime: Whose tenant's decision.
        record: The decision.
    """
    _, events = await read_run(runtime.log, record.run, tenant=runtime.tenant)
    return list_asked(events, record.id)


def list_asked(events: list[AnyEvent], decision: str) -> list[OpenQuestion]:
    """List what a decision asks people, by the log of its run; what its voters ask for themselves is not among it.

    Args:
        events: The log.
        decision: The decision's id.
    """
    opened = [one for one in events if isinstance(one, VoteOpened) and one.decision == decision]
    if not opened:
        return []
    place = f"{opened[-1].key.rpartition('/note/')[0]}/tool"
    return [
        one
        for one in list_open(events)
        if isinstance(one.question, InputRequested) and one.key.rpartition("/")[0].rpartition("/")[0] == place
    ]


async def cast_ballot(runtime: Runtime, decision: str, ballot: Ballot | str, *, by: str) -> OpenQuestion:
    """Vote where a decision waits for one's ballot, or decide where it waits for that; return what was answered.

    The ballot is checked before it is given, so that a mistake costs nothing. The run goes on when it is resumed.

    Args:
        runtime: Whose tenant's decision.
        decision: Its id.
        ballot: The ballot; as JSON where the voter signs it by a key of its own.
        by: Who votes: a principal.

    Raises:
        NotFound: There is no such decision, for this tenant.
        Conflict: It waits for nobody, or was answered already, or too late.
        Forbidden: It does not wait for this principal.
        InvalidInput: The ballot cannot be counted.
    """
    record = await Decisions(runtime).get(decision)
    asked = await find_asked(runtime, record)
    if not asked:
        state = "is open, and waits for nobody at the moment" if record.is_open else "is closed"
        raise Conflict(f"Decision {decision!r} {state}: no ballot is wanted.", decision=decision)
    mine = [one for one in asked if _names(one) in ("", by)]
    if not mine:
        named = ", ".join(repr(_names(one)) for one in asked)
        raise Forbidden(f"Decision {decision!r} waits for {named}, and not for {by!r:.80}.", decision=decision)
    one = mine[0]
    await runtime.answer(one.run, one.key, text=_write(record, one, ballot), by=by)
    return one


def _names(one: OpenQuestion) -> str:
    return one.question.of if isinstance(one.question, InputRequested) else ""


def _write(record: Decision, one: OpenQuestion, ballot: Ballot | str) -> str:
    """Write what is answered: the option alone where a person decides, and a ballot elsewhere."""
    choices = one.question.choices if isinstance(one.question, InputRequested) else ()
    terms = record.last.terms
    if choices:
        given = read_ballot(ballot, "plurality", choices) if isinstance(ballot, str) else ballot
        if given != Ballot(choice=given.choice) or not given.choice:
            raise InvalidInput("One option is wanted here, and no ballot: give `choice` alone; no reason is kept.")
        if given.choice not in choices:
            raise UnknownName("option", given.choice[:80], choices)
        return given.choice
    seat = next((seat for seat in terms.roll if seat.voter == f"{PERSON}{_names(one)}"), None)
    if seat is not None and seat.key:
        if isinstance(ballot, Ballot):
            raise InvalidInput(f"{seat.voter!r:.80} signs its ballots by a key of its own: give the signed ballot.")
        signed = decode(ballot, SignedBallot, what="The signed ballot", max_bytes=MAX_BALLOT_BYTES)
        if (signed.decision, signed.round) != (record.id, record.last.number):
            raise InvalidInput(f"It was signed for ballot {signed.round} of {signed.decision!r:.80}: sign it anew.")
        read_rule(terms.rule).check(signed.ballot, terms.options)
        return ballot
    text = ballot if isinstance(ballot, str) else write_ballot(ballot)
    return write_ballot(read_ballot(text, terms.rule, terms.options))
