"""Is a changed record found out, whatever was changed, and is an honest one never called changed?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from msgspec import structs
from tests.unit.council.sessions import SEAL, build_voter, build_voters, choose, hold, write

from quorate import MemoryLog
from quorate.codec.json import decode_event
from quorate.council.ballot import Ballot
from quorate.council.decide import Backing, council
from quorate.council.decision import (
    VOTES,
    Verification,
    digest_ending,
    digest_noted,
    fold,
    read_decisions,
    verify_decision,
)
from quorate.council.plan import Plan
from quorate.council.signing import Seal, write_ballot
from quorate.errors import CorruptState, NotFound
from quorate.events import AnyEvent, RunStarted, VoteCast, VoteClosed, VoteDecided, VoteOpened, VoteRefused

AB = ("a", "b")
MAYBE = Seal(b"the secret of another council")
_encode = msgspec.json.Encoder().encode


async def make(*, sealed: bool = True, tie: bool = False) -> tuple[str, list[AnyEvent]]:
    """Make a decision of one ballot with a refused seat, or of a tie that an arbiter ended."""
    backing = Backing(seal=SEAL if sealed else None)
    if tie:
        plan = Plan(options=AB, fallback=("arbiter:lead",))
        arbiters = [build_voter("lead", write("b"))]
        record, events, _ = await hold(*choose("a", "b"), plan=plan, backing=backing, arbiters=arbiters)
        return record.id, events
    said = (write("a", reason="it fits"), write("b"), write("a", confidence=0.5), ("no", "no", "no"))
    record, events, _ = await hold(*said, plan=Plan(options=AB, weights={"v1": 2.5}, secret=True), backing=backing)
    assert record.winner == "a"
    return record.id, events


def find(events: Sequence[AnyEvent], kind: type[AnyEvent], place: int = 0) -> int:
    """Find the place of the first event of a kind, or of a later one."""
    return [number for number, event in enumerate(events) if isinstance(event, kind)][place]


def change(events: Sequence[AnyEvent], kind: type[AnyEvent], **facts: object) -> list[AnyEvent]:
    place = find(events, kind)
    return [*events[:place], structs.replace(events[place], **facts), *events[place + 1 :]]


def forge(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Number events anew and write the digest that fits them, as whoever can write the database may."""
    moved = [structs.replace(event, seq=place) for place, event in enumerate(events, 1)]
    noted = [event for event in moved if isinstance(event, VOTES)]
    place = find(moved, VoteDecided)
    end: Any = moved[place]
    facts = {name: getattr(end, name) for name in ("decision", "winner", "by", "why", "rounds", "closed")}
    moved[place] = structs.replace(end, digest=digest_ending(digest_noted(noted), **facts))
    return moved


def try_to_read(data: bytes) -> AnyEvent | None:
    try:
        return decode_event(data)
    except CorruptState:
        return None


def check(events: Sequence[AnyEvent], decision: str, seal: Seal | None) -> Verification | None:
    """Verify; `None` where the decision is not there any more."""
    try:
        return verify_decision(events, decision, seal=seal)
    except NotFound:
        return None


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
async def test_a_record_is_counted_again_from_its_log_alone(sealed: bool, tie: bool) -> None:
    """row: D7"""
    decision, events = await make(sealed=sealed, tie=tie)
    seal = SEAL if sealed else None
    assert verify_decision(events, decision, seal=seal) == Verification(
        decision=decision, winner="b" if tie else "a", is_sealed=sealed
    )
    stored = [decode_event(_encode(event)) for event in events]
    assert verify_decision(stored, decision, seal=seal).holds
    with pytest.raises(NotFound, match="no decision 'dec-other' in this run"):
        verify_decision(events, "dec-other")


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
async def test_a_changed_byte_is_found_wherever_it_is(sealed: bool, tie: bool) -> None:
    """Every seventh byte of everything that is noted of a decision. row: D7"""
    decision, events = await make(sealed=sealed, tie=tie)
    seal, tried = SEAL if sealed else None, 0
    for place, event in enumerate(events):
        if not isinstance(event, VOTES):
            continue
        data = _encode(event)
        for offset in range(place % 7, len(data), 7):
            changed = data[:offset] + bytes([data[offset] ^ (1, 16)[offset % 2]]) + data[offset + 1 :]
            found = try_to_read(changed)
            if found is None or found == event:  # it cannot be read at all, or says the very same
                continue
            tried += 1
            verified = check([*events[:place], found, *events[place + 1 :]], decision, seal)
            assert verified is None or not verified.holds, (changed[max(0, offset - 40) : offset + 20], offset)
    assert tried > 100


@pytest.mark.parametrize("tie", [False, True])
async def test_nothing_is_left_out_doubled_or_moved(tie: bool) -> None:
    """Each event that is noted, and any two of them."""
    decision, events = await make(sealed=False, tie=tie)
    noted = [place for place, event in enumerate(events) if isinstance(event, VOTES)]
    for place in noted:
        for changed in (
            [*events[:place], *events[place + 1 :]],
            [*events[:place], events[place], *events[place:]],
            events[:place],
        ):
            verified = check(changed, decision, None)
            assert verified is None or not verified.holds, place
    for first, second in pairwise(noted):
        swapped = [*events]
        swapped[first], swapped[second] = events[second], events[first]
        assert not verify_decision(swapped, decision).holds
    for place in range(len(events)):
        missing = [*events[:place], *events[place + 1 :]]
        verified = check(missing, decision, None)
        assert verified is None or place == len(events) - 1 or not verified.holds


async def test_nothing_of_another_decision_passes_for_this_one() -> None:
    """A ballot, a count, an end, or all of it. Part of promise R27."""
    (decision, events), (other, others) = await make(), await make()
    for kind in (VoteOpened, VoteCast, VoteRefused, VoteClosed, VoteDecided):
        place = find(events, kind)
        alien: Any = others[find(others, kind)]
        here = structs.replace(alien, seq=place + 1, attempt=events[place].attempt)
        for taken in (
            here,
            structs.replace(here, decision=decision),
            structs.replace(here, decision=decision, run=events[0].run),
        ):
            verified = check([*events[:place], taken, *events[place + 1 :]], decision, SEAL)
            assert verified is None or not verified.holds, kind
    whole = [structs.replace(event, decision=decision) if isinstance(event, VOTES) else event for event in others]
    assert not verify_decision(whole, decision, seal=SEAL).holds
    assert verify_decision(others, other, seal=SEAL).holds


FORGERIES: dict[str, Callable[[list[AnyEvent]], list[AnyEvent]]] = {
    "a ballot": lambda events: change(events, VoteCast, ballot=write_ballot(Ballot(choice="b")), choice="b"),
    "whose it is": lambda events: change(events, VoteCast, voter="v4"),
    "its reason": lambda events: change(events, VoteCast, reason="because"),
    "when it was cast": lambda events: change(events, VoteCast, time=1.0),
    "its signature": lambda events: change(events, VoteCast, signature=""),
    "a weight": lambda events: change(events, VoteOpened, weights=(1.0, 9.0, 1.0, 1.0)),
    "the quorum": lambda events: change(events, VoteOpened, quorum=0.0),
    "the question": lambda events: change(events, VoteOpened, question="Which not?"),
    "why one was refused": lambda events: change(events, VoteRefused, why="late"),
    "when it closed": lambda events: change(events, VoteDecided, closed=1.0),
    "a ballot left out": lambda events: [event for event in events if event is not events[find(events, VoteCast)]],
    "a refusal left out": lambda events: [event for event in events if not isinstance(event, VoteRefused)],
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_who_has_no_secret_cannot_write_a_record_anew(what: str) -> None:
    """Not even with the digest that fits: a secret finds out what the counting does not. Part of promise R27."""
    decision, events = await make()
    forged = forge(FORGERIES[what](events))
    verified = check(forged, decision, SEAL)
    assert verified is not None
    assert not verified.holds
    assert not verified.is_sealed
    digest: Any = forged[find(forged, VoteDecided)]
    for seal in (MAYBE.sign(digest.digest), "hmac:", "", digest.seal.upper()):
        again = change(forged, VoteDecided, seal=seal)
        assert not verify_decision(again, decision, seal=SEAL).is_sealed


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_winner_who_did_not_win_is_found_out_without_a_secret(sealed: bool) -> None:
    """The digest may fit: the ballots do not."""
    decision, events = await make(sealed=sealed)
    winner = change(events, VoteDecided, winner="b")
    counted = change(winner, VoteClosed, winner="b", points={"a": 1.0, "b": 9.0}, dissent=("v1", "v3"), margin=8.0)
    for changed in (winner, counted):
        faults = verify_decision(forge(changed), decision).faults
        assert any("'b'" in fault for fault in faults)
    for by in ("arbiter", "person", "none", "fate"):
        again = forge(change(events, VoteDecided, by=by, winner=None if by == "none" else "b"))
        assert not verify_decision(again, decision).holds, by


async def test_a_secret_that_was_changed_still_vouches_for_what_it_made() -> None:
    decision, events = await make()
    new = Seal(b"another secret of the council", former=(b"a secret of the council, for tests",))
    assert verify_decision(events, decision, seal=new).is_sealed
    assert not verify_decision(events, decision, seal=Seal(b"another secret of the council")).holds
    _, open_ones = await make(sealed=False)
    told = verify_decision(open_ones, read_decisions(open_ones)[0].id, seal=SEAL).faults
    assert "it was made without a secret" in told


async def test_what_cannot_be_read_is_corrupt_and_never_guessed() -> None:
    decision, events = await make()
    noted = [event for event in events if isinstance(event, VOTES)]
    cases = {
        "was never opened": noted[1:],
        "came after ballot 1 was counted": [*noted[:1], noted[-2], *noted[1:-2]],
        "holds no ballot": change(noted, VoteCast, ballot="{"),
        "was not written here": change(noted, VoteCast, ballot='{"choice":"b","choice":"a"}'),
        "is of ballot 2": change(noted, VoteCast, round=2),
        "'maybe', which is unknown": change(noted, VoteOpened, tie="maybe"),
        "a roll of another length": change(noted, VoteOpened, weights=(1.0,)),
    }
    for told, changed in cases.items():
        with pytest.raises(CorruptState, match=told):
            fold(changed)  # type: ignore[arg-type]
        whole = [event for event in events if not isinstance(event, VOTES)] + changed
        assert any(told in fault for fault in verify_decision(whole, decision).faults), told


async def test_a_decision_that_was_resumed_often_holds() -> None:
    """Each attempt notes what is its own."""
    board = council("board", build_voters(*choose("a", "a", "b")), Plan(options=AB), backing=Backing(seal=SEAL))
    whole: Any = await board.run("Which?")
    for cut in range(8, len(whole.events) - 1, 4):
        again = council("board", build_voters(*choose("a", "a", "b")), Plan(options=AB), backing=Backing(seal=SEAL))
        events = whole.events
        for place in (cut, cut + 2):
            log = MemoryLog()
            await log.append(whole.run_id, events[:place], expected=0)
            events = (await again.resume(whole.run_id, log=log)).events
        assert sum(isinstance(event, RunStarted) for event in events) == 1
        verified = verify_decision(events, whole.output.id, seal=SEAL)
        assert verified.holds, verified
