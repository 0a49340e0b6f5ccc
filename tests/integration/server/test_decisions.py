"""Can agents and people decide over HTTP, and is the record shown, checked and learned from as it must be?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.conftest import Answer, Api, serve

from quorate import Agent, Plan, ScriptedModel
from quorate.council.ballot import Ballot
from quorate.server.decision_views import BallotRequest, BallotView, DecisionRequest

AB = ["a", "b"]


def build_voter(name: str, choice: str) -> Agent[Any, Any]:
    said = json.dumps({"choice": choice, "reason": f"{name} measured it", "confidence": 0.9, "evidence": ["disk 99 %"]})
    return Agent(name, model=ScriptedModel(lambda _: said))


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Api]:
    async with serve(tmp_path / "quorate.db", *(build_voter(f"v{n}", one) for n, one in enumerate("aab", 1))) as api:
        yield api


def test_all_that_a_plan_and_a_ballot_can_say_can_be_sent() -> None:
    """A field that is added to them is added here."""
    assert set(Plan.__struct_fields__) <= set(DecisionRequest.__struct_fields__)
    for view in (BallotRequest, BallotView):
        assert set(Ballot.__struct_fields__) <= set(view.__struct_fields__)


async def put(api: Api, **facts: object) -> Answer:
    """Put something to the vote, and wait until it is decided or waits for somebody."""
    return await api.ask("POST", "/v1/decisions?wait=30", body={"question": "Which?", "options": AB, **facts})


async def test_a_decision_is_made_shown_verified_and_learned_from(board: Api) -> None:
    """From the motion to what turned out to be right."""
    put_to = await put(board, voters=["v1", "v2", "v3"], quorum=1.0)
    assert (put_to.status, put_to.json["status"]) == (200, "completed")
    place = put_to.headers["Location"]
    assert place == f"/v1/decisions/{put_to.json['decision']}"
    shown = await board.ask("GET", place)
    view = shown.json
    assert (view["status"], view["winner"], view["by"], view["rounds"][0]["dissent"]) == (
        "decided",
        "a",
        "vote",
        ["v3"],
    )
    first = view["rounds"][0]["ballots"][0]
    assert (first["voter"], first["choice"], first["reason"], first["evidence"]) == (
        "v1", "a", "v1 measured it", ["disk 99 %"],
    )  # fmt: skip
    assert (await board.ask("GET", place, headers={"If-None-Match": shown.headers["ETag"]})).status == 304
    checked = (await board.ask("GET", f"{place}/verification", role="viewer")).json
    assert (checked["holds"], checked["winner"], checked["sealed"], checked["faults"]) == (True, "a", False, [])
    listed = (await board.ask("GET", "/v1/decisions?status=decided")).json["data"]
    assert [(one["id"], one["winner"], "rounds" in one) for one in listed] == [(view["id"], "a", False)]
    assert (await board.ask("GET", "/v1/decisions?status=none")).json["data"] == []
    headers = {"Idempotency-Key": "once"}
    said = [
        await board.ask("POST", f"{place}/outcome", body={"truth": "a", "reason": "it was full"}, headers=headers)
        for _ in range(2)
    ]
    assert [(one.status, one.json["is_right"], one.json["is_new"]) for one in said] == [(200, True, True)] * 2
    assert (await board.ask("POST", f"{place}/outcome", body={"truth": "b"})).status == 409
    corrected = await board.ask("POST", f"{place}/outcome", body={"truth": "b", "correct": True})
    assert (corrected.json["is_right"], corrected.json["corrected"]) == (False, 3)


async def test_a_person_votes_as_itself_alone(board: Api) -> None:
    """Whose ballot it is follows from the credential; an open secret vote shows none."""
    put_to = await put(board, voters=["v1", "person:operator-acme", "person:admin-acme"], secret=True, rule="unanimous")
    place, run = put_to.headers["Location"], put_to.json["run"]
    view = (await board.ask("GET", place)).json
    assert (put_to.json["status"], view["status"], view["waits_for"]) == (
        "waiting",
        "open",
        ["operator-acme", "admin-acme"],
    )
    assert "ballots" not in view["rounds"][0]
    ballots = f"{place}/ballots"
    assert (await board.ask("POST", ballots, body={"choice": "a"}, role="viewer")).status == 403
    assert (await board.ask("POST", ballots, body={"choice": "x"})).status == 400
    assert (await board.ask("POST", ballots, body={"choice": "a", "voter": "admin-acme"})).status == 400
    headers = {"Idempotency-Key": "mine"}
    taken = [await board.ask("POST", ballots, body={"choice": "a", "reason": "so"}, headers=headers) for _ in range(2)]
    assert [(one.status, one.json["by"]) for one in taken] == [(201, "operator-acme")] * 2
    again = await board.ask("POST", ballots, body={"choice": "b"})
    assert again.status in (403, 409)
    assert "ballots" not in (await board.ask("GET", place)).json["rounds"][0]
    assert (await board.ask("POST", ballots, body={"choice": "a"}, role="admin")).status == 201
    handle = await board.runtime.for_tenant("acme").attach(run)
    await handle.wait()
    view = (await board.ask("GET", place)).json
    assert (view["winner"], [one["voter"] for one in view["rounds"][0]["ballots"]]) == (
        "a", ["v1", "person:operator-acme", "person:admin-acme"],
    )  # fmt: skip
    assert (await board.ask("POST", ballots, body={"choice": "a"})).status == 409


async def test_what_is_wrong_is_told_at_once_and_nothing_is_anothers(board: Api) -> None:
    """Before anybody is asked; another tenant's decision is not there."""
    wrong = await put(board, voters=["nobody", "v1", "v1"], rule="majorty", fallback=["arbiter:eve"])
    assert wrong.status == 400
    for told in ("'nobody'", "'v1' more than once", "majority", "'eve'"):
        assert told in wrong.json["detail"]
    assert (await board.ask("GET", "/v1/decisions")).json["data"] == []
    none = await put(board, voters=["v1", "v3"])
    assert (none.status, none.json["status"]) == (200, "failed")
    place = none.headers["Location"]
    view = (await board.ask("GET", place)).json
    assert (view["status"], view["by"], "winner" in view) == ("none", "none", False)
    assert (await board.ask("GET", f"{place}/verification")).json["holds"]
    for method, path, body in (
        ("GET", "", None), ("GET", "/verification", None), ("POST", "/ballots", {"choice": "a"}),
        ("POST", "/outcome", {"truth": "a"}),
    ):  # fmt: skip
        assert (await board.ask(method, f"{place}{path}", body=body, tenant="zeta")).status == 404, path
    assert (await board.ask("GET", "/v1/decisions", tenant="zeta")).json["data"] == []
