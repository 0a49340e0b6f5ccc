"""Are runs listed by all that they may be listed by, a page at a time and without missing one?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.server.conftest import Api, build_agents, serve

from quorate.events import RunCompleted, RunCreated
from quorate.messages import build_user_message

pytestmark = pytest.mark.asyncio(loop_scope="module")
BEGAN = 1_795_000_000
MANY = 120


def build_id(number: int) -> str:
    return f"run-{(BEGAN + number) * 1000:012x}{number:020x}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """Runs that were born a second apart, every third of team `net`, and last changed in another order."""
    async with serve(tmp_path_factory.mktemp("lists") / "quorate.db", *build_agents()) as api:
        for number in range(MANY):
            run, labels = build_id(number), {"team": "net" if number % 3 == 0 else "disks", "n": str(number)}
            facts: dict[str, Any] = {
                "agent": "net",
                "tenant": "acme",
                "principal": "viewer-acme",
                "session": "s1" if number % 2 else None,
            }
            created = RunCreated(
                run=run, seq=1, time=BEGAN + number, messages=(build_user_message("x"),), labels=labels, **facts
            )
            end = RunCompleted(run=run, seq=2, time=BEGAN + MANY + number * 7 % MANY, output="ok")
            await api.runtime.log.append(run, (created, end), expected=0)
        yield api


async def list_all(api: Api, query: str, *, limit: int = 7) -> list[dict[str, Any]]:
    found, cursor = list[dict[str, Any]](), ""
    while True:
        page = await api.ask("GET", f"/v1/runs?limit={limit}&{query}{cursor}", role="viewer")
        assert page.status == 200, page.data
        assert len(page.json["data"]) <= limit
        found += page.json["data"]
        if page.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={page.json['next_cursor']}"


def sort(numbers: list[int], order: str) -> list[int]:
    if order == "updated":
        return sorted(numbers, key=lambda number: (number * 7 % MANY, number), reverse=True)
    return sorted(numbers, reverse=order == "newest")


FILTERS: list[tuple[str, Callable[[int], bool]]] = [
    ("label=team=net", lambda n: n % 3 == 0),
    ("label=team=net&label=n=9", lambda n: n == 9),
    ("label=team=nobody", lambda n: False),
    (f"created_after={BEGAN + 10}&created_before={BEGAN + 20}", lambda n: 10 <= n < 20),
    (f"created_after={BEGAN + 110}", lambda n: n >= 110),
    (f"created_before={BEGAN + 9.5}", lambda n: n < 9.5),
    (f"created_after={BEGAN + 100}&label=team=net&session=s1", lambda n: n >= 100 and n % 6 == 3),
    (f"created_after={BEGAN + 20}&created_before={BEGAN + 10}", lambda n: False),
]


@pytest.mark.parametrize("order", ["newest", "oldest", "updated"])
@pytest.mark.parametrize(("query", "wanted"), FILTERS)
async def test_runs_are_found_by_labels_and_birth(
    api: Api, query: str, wanted: Callable[[int], bool], order: str
) -> None:
    """In every order, over pages. part of row C11"""
    found = await list_all(api, f"order={order}&{query}")
    numbers = sort([number for number in range(MANY) if wanted(number)], order)
    assert [run["id"] for run in found] == [build_id(number) for number in numbers]
    assert all(run["labels"]["n"] == str(number) for run, number in zip(found, numbers, strict=True))


async def test_what_is_no_filter_is_refused(api: Api) -> None:
    """And another tenant's runs match nothing. part of row C11"""
    for wrong in ("label=team", "label==x", "created_after=-1", "created_before=nan", f"cursor={'x' * 201}"):
        refused = await api.ask("GET", f"/v1/runs?{wrong}")
        assert (refused.status, refused.json["code"]) == (400, "invalid_input"), wrong
    assert (await api.ask("GET", "/v1/runs?label=team=net", tenant="globex")).json["data"] == []
    gone = await api.ask("GET", "/v1/runs?order=updated&cursor=run-gone")
    assert gone.status == 409


@pytest.mark.parametrize("name", ["model", "quota.payer", "fork.run", "schedule", "route.agent"])
async def test_labels_that_a_runtime_goes_by_are_nobodys(api: Api, name: str) -> None:
    """A label says who pays for a run, and with which model it goes on. part of row C12"""
    for path, body in (("runs", {"task": "x"}), ("query", {"query": "x"})):
        refused = await api.ask("POST", f"/v1/{path}", body={**body, "agent": "net", "labels": {name: "x"}})
        assert (refused.status, refused.json["code"]) == (400, "invalid_input")
