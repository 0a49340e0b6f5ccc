"""Are findings joined, ranked and shown as they were measured?"""

import pytest
from msgspec import structs

from quorate.models.playbook.report import Diagnosis, Evidence, Finding, adopt_findings, rank_findings, render_markdown
from quorate.models.playbook.words import fill_template, format_value


def fact(call_id: str) -> Evidence:
    """A measurement."""
    return Evidence(tool="connect", call_id=call_id, fact=f"measured by {call_id}")


def test_the_worst_comes_first_and_the_same_is_said_once() -> None:
    """The worse severity counts; evidence and sources are kept together; equals keep their order."""
    found = rank_findings(
        [
            Finding(title="Slow", severity="low"),
            Finding(title="Refused: a", severity="high", evidence=(fact("1"),), source="net", confidence=0.5),
            Finding(title="refused:  A", severity="critical", evidence=(fact("1"), fact("2")), source="infra"),
            Finding(title="Full", severity="low"),
        ]
    )
    assert [finding.title for finding in found] == ["refused:  A", "Slow", "Full"]
    assert (found[0].evidence, found[0].source, found[0].confidence) == ((fact("1"), fact("2")), "net, infra", 1.0)


def test_a_finding_keeps_the_name_of_who_found_it_first() -> None:
    """Through two agents the way to the call grows, and the source stays."""
    inner = Diagnosis(applies=True, summary="", findings=(Finding(title="x", severity="low", evidence=(fact("1"),)),))
    once = adopt_findings(inner, agent="net", call_id="a")
    twice = adopt_findings(Diagnosis(applies=True, summary="", findings=once), agent="lead", call_id="b")
    assert twice == (
        Finding(title="x", severity="low", evidence=(structs.replace(fact("1"), call_id="b/a/1"),), source="net"),
    )


def test_markdown_has_everything() -> None:
    """Nothing of a diagnosis is lost for people."""
    finding = Finding(
        title="Refused", severity="high", detail="Nothing listens.", evidence=(fact("tcp-1"),), source="net"
    )
    diagnosis = Diagnosis(
        applies=True,
        summary="1 problem found.",
        findings=(finding,),
        checked=("memory",),
        unavailable=("ping: not installed",),
        next_steps=("Start it.",),
    )
    assert render_markdown(diagnosis) == (
        "1 problem found.\n\n## high: Refused (net)\n\nNothing listens.\n\n- measured by tcp-1 (`connect`, `tcp-1`)\n\n"
        "## Checked and fine\n\n- memory\n\n## Could not be measured\n\n- ping: not installed\n\n"
        "## Next steps\n\n- Start it."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2123, "0.212"),
        (1.5, "1.50"),
        (15.04, "15.0"),
        (1503.7, "1504"),
        (5.0, "5"),
        (7, "7"),
        (True, "yes"),
        (None, "unknown"),
        ("", "unknown"),
        (["a", 1.0], "a, 1"),
        (list(range(23)), ", ".join(map(str, range(20))) + " and 3 more"),
        ({"a": 1}, '{"a":1}'),
        ("x" * 600, "x" * 500 + "…"),
    ],
)
def test_values_are_written_for_people(value: object, text: str) -> None:
    """With the digits that matter."""
    assert format_value(value) == text


def test_templates_take_the_first_that_has_the_name() -> None:
    """Once, without looking into what was put in; an unknown name is said to be unknown."""
    assert fill_template("{a} {b} {c} {d.e} {}", {"a": "{b}"}, {"a": 1, "b": 2}) == "{b} 2 unknown {d.e} {}"
