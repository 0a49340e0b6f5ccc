"""Are the cases of agent files gone through as they are written, and wrong answers too?"""

from __future__ import annotations

from quorate.catalog.case import Case as AgentCase
from quorate.catalog.case import Expected, ScriptedCall
from quorate.catalog.evaluation.agent_cases import WRONG_TURNS, build_cases
from quorate.catalog.evaluation.answer import Answer
from quorate.catalog.evaluation.case import Fixture
from quorate.catalog.evaluation.check import find_faults
from quorate.catalog.evaluation.grade import grade

CASE = AgentCase(
    request="why is this slow? the plan is in plan.txt",
    files={"plan.txt": "Seq Scan"},
    script=(ScriptedCall(tool="read_file", arguments={"path": "plan.txt"}),),
    answer={"verdict": "The scan of items.", "dialect": "postgresql"},
    wrong={"verdict": "Nothing."},
    expect=Expected(
        holds=("output.dialect == 'postgresql'",),
        contains=("items",),
        lacks=("Items",),
        matches=("scan of [a-z]+",),
        calls=("read_file",),
    ),
)


def test_a_right_answer_passes_and_a_wrong_one_is_refused() -> None:
    """All that a file expects becomes graders; the wrong answer is the right one with other fields."""
    right, wrong = build_cases(CASE, agent="plan-reader", number=2, scripted=True)
    assert (right.id, wrong.id, right.refused, wrong.refused) == ("plan-reader.2", "plan-reader.2.wrong", False, True)
    assert right.fixture == Fixture(files={"plan.txt": "Seq Scan"})
    assert (len(right.script), len(wrong.script)) == (2, 1 + WRONG_TURNS)
    assert find_faults(right) == find_faults(wrong) == []
    good = Answer(agent="plan-reader", text=str(right.script[-1]), calls=("read_file",))
    bad = Answer(agent="plan-reader", text=str(wrong.script[-1]), calls=("read_file",))
    assert [one.passed for one in grade(right, good)] == [True] * 4
    assert '"dialect":"postgresql"' in bad.text
    assert [one.passed for one in grade(wrong, bad)] == [True, False, False, True]


def test_an_agent_with_a_playbook_has_no_script() -> None:
    """It runs by its playbook, also where other models are scripted."""
    playbook = AgentCase(request="x", expect=Expected(holds=("output.applies",)))
    (case,) = build_cases(playbook, agent="disks", number=1, scripted=True)
    assert (case.script, case.fixture) == ((), None)
    (alone,) = build_cases(CASE, agent="a", number=1, scripted=False)
    assert alone.id == "a.1"
