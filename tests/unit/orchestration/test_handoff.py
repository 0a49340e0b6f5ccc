"""Does an agent that is handed a conversation go on with it as its own, within its bounds?"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from tests.unit.orchestration.test_procedure import answer_all, build_member, pay

from quorate import Agent, MemoryLog, ScriptedModel
from quorate.agent.procedure.asking import TeamFailed
from quorate.agent.replay.exact import replay_exactly
from quorate.errors import InvalidInput, UnknownName
from quorate.events import HandoffDone, HandoffRequested
from quorate.messages import Message
from quorate.models.scripted import call
from quorate.orchestration.handoff import Transfer, handoff
from quorate.specs import ModelProfile
from quorate.tools.toolsets import Approved


class Refund(Struct):
    amount: int


def reader(*script: Any, name: str = "billing", **facts: Any) -> tuple[Any, ScriptedModel]:
    model = ScriptedModel(list(script), **facts)
    return Agent(name, model=model, version="2"), model


TO_BILLING = call("transfer_to_billing", reason="it is about money")


async def test_the_next_agent_goes_on_with_the_whole_conversation() -> None:
    """part of row E4"""
    billing, model = reader("You get it back.")
    front = Agent("front", model=ScriptedModel([TO_BILLING]))
    team = handoff("desk", [front, billing], [Transfer(source="front", target="billing")])
    result = await team.run("I want my money back.")
    assert (result.output.answer, result.output.why) == ("You get it back.", "front > billing")
    seen = model.requests[0].messages
    assert [message.role for message in seen] == ["user", "assistant", "tool"]
    assert seen[0].text == "I want my money back."
    asked = [event for event in result.events if isinstance(event, (HandoffRequested, HandoffDone))]
    assert [(event.source, event.target) for event in asked] == [("front", "billing")] * 2
    assert (await replay_exactly(team, result.events)).divergence is None


@pytest.mark.parametrize("native", [True, False])
async def test_an_agent_with_a_typed_answer_hands_on_too(native: bool) -> None:
    profile = ModelProfile(name="scripted", provider="scripted", native_output=native)
    final = '{"amount": 5}' if native else call("final_result", amount=5)
    front: Any = Agent("front", model=ScriptedModel([TO_BILLING], profile=profile), output_type=Refund)
    billing: Any = Agent("billing", model=ScriptedModel([final], profile=profile), output_type=Refund)
    team = handoff("desk", [front, billing], [Transfer(source="front", target="billing")])
    result = await team.run("Money!")
    assert result.output.answer == {"amount": 5}
    assert (await replay_exactly(team, result.events)).divergence is None


async def test_what_the_next_one_sees_may_be_changed() -> None:
    def summarize(messages: Any) -> list[Message]:
        return [Message(role="user", parts=messages[0].parts)]

    billing, model = reader("Done.")
    front = Agent("front", model=ScriptedModel([TO_BILLING]))
    team = handoff("desk", [front, billing], [Transfer(source="front", target="billing", transform=summarize)])
    await team.run("Money!")
    assert [message.text for message in model.requests[0].messages] == ["Money!"]


async def test_another_version_is_refused_or_migrated_to() -> None:
    billing, model = reader("Done.")
    front = Agent("front", model=ScriptedModel([TO_BILLING]))
    with pytest.raises(InvalidInput, match="was made for version '1', and it is '2'"):
        handoff("desk", [front, billing], [Transfer(source="front", target="billing", version="1")])
    rule = Transfer(source="front", target="billing", version="1", migrate=lambda messages: messages[:1])
    await handoff("desk", [front, billing], [rule]).run("Money!")
    assert len(model.requests[0].messages) == 1


async def test_hops_are_bounded() -> None:
    """part of row E4"""
    there, back = call("transfer_to_b", reason="x"), call("transfer_to_a", reason="x")
    members = [build_member("a", there), build_member("b", back)]
    rules = [Transfer(source="a", target="b"), Transfer(source="b", target="a")]
    result = await handoff("loop", members, rules, hops=3).run("go")
    assert (result.status, getattr(result.events[-1], "limit", "")) == ("incomplete", "hops")


async def test_only_who_may_is_offered_the_tool_and_a_made_up_transfer_is_refused() -> None:
    front = Agent("front", model=ScriptedModel(['{"quorate": "handed", "target": "vault"}']))
    billing, vault = build_member("billing", "x"), build_member("vault", "x")
    team = handoff("desk", [front, billing, vault], [Transfer(source="front", target="billing")])
    with pytest.raises(TeamFailed, match="'front' may not hand to 'vault'"):
        await team.run("go")
    with pytest.raises(UnknownName, match="nobody"):
        handoff("desk", [front], [Transfer(source="front", target="nobody")])
    with pytest.raises(InvalidInput, match="twice"):
        handoff("desk", [front, billing], [Transfer(source="front", target="billing")] * 2)


async def test_a_handed_conversation_waits_and_goes_on_after_a_crash() -> None:
    """part of row E4"""
    billing: Any = Agent("billing", model=ScriptedModel([call("pay", amount=5), "Paid."]), tools=[Approved(pay)])
    front = Agent("front", model=ScriptedModel([TO_BILLING]))
    team, log = handoff("desk", [front, billing], [Transfer(source="front", target="billing")]), MemoryLog()
    result = await team.run("Money!", log=log)
    assert result.status == "waiting"
    await answer_all(log, result.run_id)
    result = await team.resume(result.run_id, log=log)
    assert (result.output.answer, result.output.why) == ("Paid.", "front > billing")
    assert (await replay_exactly(team, result.events)).divergence is None
