"""Are terms that no vote can be held on refused, with all that is wrong?"""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.unit.council.profiles import NAMES, build_terms

from quorate.council.ballot import MAX_REASON, Ballot, check_ballot, weigh
from quorate.council.terms import Seat, Terms, check_terms
from quorate.errors import InvalidInput

SEATS = (Seat(voter="a", weight=2.0), Seat(voter="b"))


@pytest.mark.parametrize("name", [*NAMES, "Simple-Majority", "irv"])
def test_a_vote_can_be_held_by_every_rule(name: str) -> None:
    check_terms(build_terms(rule=name, roll=SEATS))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"question": " "}, "`question` has 1 characters"),
        ({"options": ("A",)}, "`options` has 1 entries: give 2 to 50"),
        ({"options": ("A", "A")}, "`options` names 'A' more than once"),
        ({"options": ("A", "")}, "`options` has '': give 1 to"),
        ({"options": ("A", "B ")}, "`options` has 'B ': give 1 to"),
        ({"options": tuple(map(str, range(51)))}, "`options` has 51 entries"),
        ({"options": ("A", "\ud800")}, "give text without lone surrogates"),
        ({"question": "\ud800"}, "`question` has lone surrogates"),
        ({"roll": ()}, "`roll` has 0 entries: give 1 to 10000"),
        ({"roll": (Seat(voter="a"), Seat(voter="a"))}, "`roll` names 'a' more than once"),
        ({"roll": (Seat(voter="a", weight=math.nan),)}, "the weight of 'a' is nan: give 0 to 1000000"),
        ({"roll": (Seat(voter="a", weight=math.inf),)}, "the weight of 'a' is inf"),
        ({"roll": (Seat(voter="a", weight=-1.0),)}, "the weight of 'a' is -1.0"),
        ({"roll": (Seat(voter="a", weight=1e12),)}, "the weight of 'a' is 1000000000000.0"),
        ({"roll": (Seat(voter="a", weight=1e-9),)}, "a millionth is the least above 0"),
        ({"roll": (Seat(voter="a", weight=0.0),)}, "all weights on the roll are 0"),
        ({"rule": "majorty"}, "`rule`: There is no rule 'majorty'. Did you mean `majority`?"),
        ({"rule": "supermajority:0.2"}, "`rule`: The rule `supermajority` has the share '0.2'"),
        ({"rule": "weighted_voting"}, "goes by weights, and the roll declares none"),
        ({"quorum": 1.5}, "`quorum` is 1.5: give a share of the roll, 0 to 1"),
        ({"quorum": math.nan}, "`quorum` is nan"),
        ({"tie": "coin"}, "`tie` is 'coin': give `refuse`, `priority`, `random`, `revote`"),
        ({"abstentions": "for"}, "`abstentions` is 'for': give `present`, `against`"),
        ({"silence": "for"}, "`silence` is 'for': give `absent`, `against`"),
        ({"priority": ("A", "B")}, "`priority` does not name each option once"),
    ],
)
def test_bad_terms_are_refused(given: dict[str, object], said: str) -> None:
    """Bad input: NaN, negative and huge weights, doubles, bounds."""
    with pytest.raises(InvalidInput) as raised:
        check_terms(build_terms(**given))  # type: ignore[arg-type]
    assert said in raised.value.message
    assert raised.value.message.startswith("The terms of the vote have 1 fault: ")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as raised:
        check_terms(build_terms(question="", options=("A", "A"), rule="?", quorum=-1.0, priority=("B",)))
    assert raised.value.message.startswith("The terms of the vote have 5 faults: ")
    faults = raised.value.context["faults"]
    assert isinstance(faults, tuple)
    assert len(faults) == 5


def test_terms_and_ballots_come_back_from_json() -> None:
    terms = build_terms(roll=SEATS, priority=("B", "A", "C"), tie="priority")
    assert msgspec.json.decode(msgspec.json.encode(terms), type=Terms) == terms
    ballot = Ballot(ranking=("A", "B"), confidence=0.25, evidence=("log 7",))
    assert msgspec.json.encode(ballot) == b'{"ranking":["A","B"],"confidence":0.25,"evidence":["log 7"]}'
    assert msgspec.json.decode(msgspec.json.encode(ballot), type=Ballot) == ballot


def test_weights_are_whole_millionths() -> None:
    assert [weigh(weight) for weight in (1.0, 0.1, 2.5, 1e-6, 0.0)] == [1_000_000, 100_000, 2_500_000, 1, 0]


def test_all_faults_of_a_ballot_are_told_at_once() -> None:
    ballot = Ballot(
        choice="X", scores={"A": math.nan}, confidence=math.nan, reason="x" * (MAX_REASON + 1), evidence=("",) * 101
    )
    with pytest.raises(InvalidInput) as raised:
        check_ballot(ballot, ("A", "B"), ("choice",))
    for said in ("does not read `scores`", "names 'X'", "'A' is nan", "`confidence` is nan", "`reason`", "`evidence`"):
        assert said in raised.value.message
    assert len(raised.value.message) < 1_000
