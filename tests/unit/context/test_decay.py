"""Does a memory fade for as long as nobody touches it, and only then, whatever the numbers are?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.context.memory.decay import MOST, begin_level, fade, find_expiry, raise_level, to_strength
from quorate.context.memory.kinds import Retention
from quorate.context.memory.notes import Note, add_mark, build_id
from quorate.context.memory.places import Member, Spot, find_shelf, read_key
from quorate.context.memory.rows import Row, find_surplus
from quorate.context.memory.words import WordIndex, find_terms

LEVELS = st.floats(0.5, MOST)
AGES = st.floats(0, 1e8)
HALVES = st.floats(1.0, 1e8)
SPOT = Spot(
    shelf=find_shelf(Member(principal="ann", agent="net"), kind="semantic", space="common", visibility="shared"),
    id="mem-1",
    principal="ann",
    agent="net",
)


def build_note(level: float, at: float, text: str = "x") -> Note:
    return Note(text=text, importance=0.5, level=level, at=at, said=at, made=at)


@given(LEVELS, AGES, AGES, HALVES)
def test_a_level_only_falls(level: float, age: float, more: float, half: float) -> None:
    """Later is never stronger, and after one half-life it is half. row: D10"""
    assert 0 <= fade(level, age + more, half) <= fade(level, age, half) <= level
    assert fade(level, half, half) == level / 2
    assert fade(level, -age, half) == level


@given(LEVELS, AGES, HALVES, st.floats(0, 2))
def test_a_trace_makes_it_stronger_up_to_a_bound(level: float, age: float, half: float, by: float) -> None:
    """Repeating something ever so often makes it no stronger than that."""
    raised = raise_level(level, age, half, by=by)
    assert fade(level, age, half) <= raised <= MOST
    assert 0 <= to_strength(raised) < 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_more_important_begins_stronger(one: float, other: float) -> None:
    assert (begin_level(one) <= begin_level(other)) == (one <= other) or math.isclose(one, other, abs_tol=1e-12)


@given(LEVELS, HALVES, st.none() | st.floats(1.0, 1e8), st.floats(0.001, 0.4))
def test_it_is_forgotten_when_it_is_below_the_floor(level: float, half: float, ttl: float | None, floor: float) -> None:
    """Just before its end it is above the floor; an end by time comes no later than it says."""
    retention = Retention(max_entries=1, max_kb=1, half_life_s=half, ttl_s=ttl, floor=floor)
    end = find_expiry(build_note(level, 0.0), retention)
    assert end > 0
    assert fade(level, end * 0.999, half) > floor * 0.999
    assert ttl is None or end <= ttl


NOTES = st.lists(
    st.tuples(st.integers(0, 30), st.floats(0.5, 8), st.integers(0, 1000), st.integers(1, 400)), max_size=40
)


def build_rows(drawn: list[tuple[int, float, int, int]]) -> list[Row]:
    found = {
        f"mem-{number:02}": Row(
            spot=Spot(shelf=SPOT.shelf, id=f"mem-{number:02}", principal="ann", agent="net"),
            note=build_note(level, float(at)),
            size=size,
            revision=1,
        )
        for number, level, at, size in drawn
    }
    return [found[name] for name in sorted(found)]


@given(NOTES, st.integers(1, 12), st.integers(1, 3), st.data())
def test_caps_hold_and_all_agree_on_what_goes(
    drawn: list[tuple[int, float, int, int]], most: int, kilobytes: int, data: st.DataObject
) -> None:
    """Entries and bytes stay within the caps, and nobody who saw only a part would delete what is to stay."""
    rows = build_rows(drawn)
    retention = Retention(max_entries=most, max_kb=kilobytes, half_life_s=50.0)
    gone = find_surplus(rows, retention)
    kept = [row for row in rows if row not in gone]
    assert len(kept) <= most
    assert sum(row.size for row in kept) <= kilobytes * 1000
    part = [row for row in rows if data.draw(st.booleans())]
    assert not {row.spot for row in find_surplus(part, retention)} & {row.spot for row in kept}
    if len(rows) > most and sum(row.size for row in rows) <= kilobytes * 1000:
        assert len(kept) == most


@given(st.text(max_size=60))
def test_any_text_has_an_id_and_terms(text: str) -> None:
    """Whatever is in it; white space around it makes no difference."""
    text = text.encode("utf-8", "replace").decode()
    assert build_id(f"  {text}\n") == build_id(text)
    index = WordIndex(text)
    index.add(text)
    (match,) = index.match_all()
    assert 0 <= match.relevance <= 1
    assert bool(match.words) == bool(find_terms(text))


def test_small_things_make_no_difference() -> None:
    assert build_id("The pump  is\tred.") == build_id("the pump is red")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("IT works", "iT works"),
        ("port 80 is open", "port 80 is not open"),
        ("use tar -x", "use tar -X"),
        ("it is -5", "it is 5"),
        ("x²", "x2"),
    ],
)
def test_what_may_differ_is_not_the_same(one: str, other: str) -> None:
    assert build_id(one) != build_id(other)


@given(st.lists(st.sampled_from(["pump", "pumps", "bus", "buses", "glass", "is", "ps", "as", "Crisis"]), max_size=6))
def test_plain_texts_are_looked_through_quicker_with_the_same_outcome(words: list[str]) -> None:
    for term in ("pump", "pumps", "bus", "buses", "glass", "ps", "crisis"):
        found = list[float]()
        for end in ("", " é"):
            index = WordIndex(term)
            index.add(" ".join(words) + " e" * (not end) + end)
            found.append(index.match_all()[0].relevance)
        assert found[0] == found[1]


def test_words_that_every_text_has_ask_for_nothing() -> None:
    assert WordIndex("Which of the disks is full?").terms == ("disk", "full")
    assert WordIndex("what is it").terms == ("what", "is", "it")


def test_words_are_compared_in_any_script() -> None:
    assert find_terms("Pumps, PUMP and Straße") == ["pump", "pump", "and", "strasse"]
    assert find_terms("水泵已坏") == ["水泵", "泵已", "已坏"]
    assert find_terms("🚰 --- ") == []


def test_a_key_is_read_back_or_is_none_of_ours() -> None:
    assert read_key(SPOT.key) == SPOT
    for bad in ("", "a/b", SPOT.key + "/x", SPOT.key.replace("hive", "pit"), SPOT.key.replace("ann", "A"), "/" * 6):
        assert read_key(bad) is None


def test_marks_are_bounded() -> None:
    marks = tuple(str(number) for number in range(32))
    assert add_mark(marks, "new") == (*marks[1:], "new")
    assert add_mark(marks, "") == marks
