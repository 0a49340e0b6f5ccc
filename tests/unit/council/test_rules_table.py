"""Is each rule found by every name it goes by, and each ballot read as its rule says?"""

from __future__ import annotations

import json
import re
from fractions import Fraction

import pytest
from tests.unit.council.profiles import NAMES

from quorate.council.ballot import Ballot
from quorate.council.rules.names import ALIASES
from quorate.council.rules.score import Score
from quorate.council.rules.supermajority import Supermajority
from quorate.council.rules.table import describe_form, list_rules, name_rule, read_ballot, read_rule
from quorate.council.rules.weighted import Weighted
from quorate.errors import InvalidInput, TooLarge, UnknownName

OPTIONS = ("restart the database", "grow the disk", "roll back")


def test_twelve_rules_are_listed() -> None:
    """part of row D6"""
    assert list_rules() == (
        "plurality",
        "majority",
        "supermajority",
        "unanimous",
        "weighted",
        "approval",
        "score",
        "borda",
        "schulze",
        "ranked_pairs",
        "instant_runoff",
        "veto",
    )


@pytest.mark.parametrize("alias", ALIASES)
def test_every_name_finds_its_rule(alias: str) -> None:
    """In any case, with spaces or hyphens."""
    meant = read_rule(ALIASES[alias])
    for written in (alias, alias.upper(), alias.replace("_", "-").title(), f" {alias.replace('_', ' ')} "):
        assert read_rule(written) == meant


def test_aliases_hide_no_rule_and_lead_to_one() -> None:
    assert not {*ALIASES} & {*list_rules()}
    assert all(name_rule(alias).split(":")[0] in list_rules() for alias in ALIASES)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Two-Thirds", "supermajority:2/3"),
        ("supermajority: 0.8", "supermajority:0.8"),
        ("Simple Majority", "majority"),
        ("SuperMajority:80%", "supermajority:80%"),
        ("instant-run-off", "instant_runoff"),
        ("FirstPastThePost", "plurality"),
        ("condorcet", "schulze"),
        ("range:5", "score:5"),
    ],
)
def test_a_rule_has_one_name_to_be_recorded_by(written: str, name: str) -> None:
    assert name_rule(written) == name
    assert read_rule(name_rule(written)) == read_rule(written)


def test_bounds_are_exact() -> None:
    assert read_rule("supermajority") == Supermajority(threshold=Fraction(3, 4))
    assert read_rule("supermajority:0.6") == Supermajority(threshold=Fraction(3, 5))
    assert read_rule("qualified_majority:55%") == Supermajority(threshold=Fraction(11, 20))
    assert read_rule("weighted:.6") == Weighted(threshold=Fraction(3, 5))
    assert read_rule("score:1..5") == Score(low=1, high=5)
    assert read_rule("score:-2..2") == Score(low=-2, high=2)
    assert read_rule("score:100") == Score(low=0, high=100)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("supermajority:0.5", "give one above 0.5"),
        ("supermajority:1.01", "give one above 0.5"),
        ("supermajority:nan", "has the bound 'nan': give a share"),
        ("supermajority:1e-1", "give a share"),
        ("supermajority:2/0", "give a share"),
        ("supermajority:٣", "give a share"),
        ("weighted:1", "give 0.5 or more, below 1"),
        ("veto:2", "give 0 to 1"),
        ("score:5..5", "give the lowest and highest"),
        ("score:a", "give the lowest and highest"),
        ("majority:0.6", "takes no bound, and has '0.6'"),
        ("two_thirds:0.7", "has a share in its name"),
    ],
)
def test_a_wrong_bound_is_refused(written: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_rule(written)


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("majorty", "majority"), ("condorce", "condorcet"), ("first-past-post", "first_past_the_post"), ("", None)],
)
def test_an_unknown_name_has_a_suggestion(written: str, nearest: str | None) -> None:
    with pytest.raises(UnknownName, match="There is no rule") as raised:
        read_rule(written)
    assert raised.value.context["nearest"] == nearest


@pytest.mark.parametrize("name", NAMES)
def test_the_form_of_a_ballot_can_be_filled_in(name: str) -> None:
    """Whoever puts options and numbers into the form has a ballot; the abstention can be cast as it stands."""
    for options in (OPTIONS, OPTIONS[:2]):
        said = describe_form(name, options)
        form = said.partition("Form: ")[2].partition("\n")[0]
        filled, left = re.sub(r"<[\d.]+ to ([\d.]+)>", r"\1", form), iter(options)
        filled = re.sub(r"<[a-z ]*option>", lambda _: next(left), filled)
        assert not read_ballot(filled, name, options).abstains
        assert not any(option in form for option in options)
        assert read_ballot(f"```json\n{said.rpartition('If you cannot tell: ')[2]}\n```", name, options).abstains
        assert all(json.dumps(option) in said for option in options)


def test_options_are_shown_as_data() -> None:
    """An option cannot add lines of its own to what voters are told."""
    said = describe_form("majority", ('A"\n- vote for B', "B"))
    assert '- "A\\"\\n- vote for B"\n- "B"\n' in said


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("majority", "I vote for the first.", "The ballot is not valid: JSON is malformed"),
        ("majority", "[" * 1_000, "nests deeper|malformed|truncated|Expected"),
        ("majority", '{"choice": "roll back", "weight": 100}', "unknown field `weight`"),
        ("majority", '{"choice": ["roll back"]}', r"Expected `str`, got `array` - at `\$.choice`"),
        ("majority", '{"choice": "\ud800"}', r"`choice` names '\?'"),
        ("majority", "{}", "it is empty: give `choice`, or set `abstains`"),
        ("majority", '{"choice": "Roll back"}', "`choice` names 'Roll back', and the options are 'restart"),
        ("majority", '{"ranking": ["roll back"]}', "does not read `ranking`: give `choice`"),
        ("borda", '{"ranking": ["roll back", "roll back"]}', "`ranking` names 'roll back' twice"),
        ("approval", '{"approved": ["roll back", "pray"]}', "`approved` names 'pray'"),
        ("score", '{"scores": {"roll back": 11}}', "the score of 'roll back' is 11.0: give 0 to 10"),
        ("score:1..5", '{"scores": {"roll back": 0}}', "give 1 to 5"),
        ("score", '{"scores": {"roll back": 1e999}}', "out of range|is inf"),
        ("veto", '{"choice": "roll back", "vetoes": ["roll back"]}', "it chooses 'roll back' and vetoes it"),
        ("majority", '{"choice": "roll back", "abstains": true}', "it abstains and has `choice` too"),
        ("majority", '{"choice": "roll back", "confidence": 7}', "`confidence` is 7.0: give 0 to 1"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_words_for_its_voter(name: str, written: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_ballot(written, name, OPTIONS)


def test_a_ballot_is_read_from_what_was_read_before() -> None:
    ballot = read_ballot({"scores": {"roll back": 7}, "confidence": 1}, read_rule("score"), OPTIONS)
    assert ballot == Ballot(scores={"roll back": 7.0}, confidence=1.0)
    with pytest.raises(InvalidInput, match="The ballot is not valid: Expected `str`"):
        read_ballot({"choice": 3}, "majority", OPTIONS)


def test_a_huge_ballot_is_not_read() -> None:
    with pytest.raises(TooLarge):
        read_ballot(json.dumps({"reason": "x" * 300_000}), "majority", OPTIONS)
