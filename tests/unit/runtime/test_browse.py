"""Which runs and questions are on the next page, and how much is looked at for one?"""

from __future__ import annotations

from quorate.events import AnyEvent, ApprovalRequested, RunCreated, RunWaiting
from quorate.messages import ToolCall, build_user_message
from quorate.runtime.browse import (
    MAX_LOOKED_AT,
    MAX_RESTING,
    RunFilter,
    find_question_id,
    page_questions,
    page_runs,
)
from quorate.state.backends.memory import MemoryLog


def begin(number: int, *, tenant: str = "acme", labels: dict[str, str] | None = None) -> RunCreated:
    return RunCreated(
        run=f"run-{number:032x}", seq=1, time=1.0, agent="net", tenant=tenant, labels=labels or {},
        messages=(build_user_message("x"),),
    )  # fmt: skip


def ask(run: str, seq: int, key: str) -> AnyEvent:
    call = ToolCall(id="c", name="pay", arguments="{}")
    return ApprovalRequested(run=run, seq=seq, time=float(seq), key=f"{key}/approval", call=call, digest="d")


async def rest(log: MemoryLog, number: int, keys: tuple[str, ...], *, tenant: str = "acme") -> None:
    created = begin(number, tenant=tenant)
    asked = [ask(created.run, seq, key) for seq, key in enumerate(keys, 2)]
    end = RunWaiting(run=created.run, seq=len(asked) + 2, time=9.0, reason="approval", keys=keys)
    await log.append(created.run, [created, *asked, end], expected=0)


async def test_a_bounded_number_of_runs_is_looked_at_for_a_page() -> None:
    """What is sought and far away is found by going on."""
    log = MemoryLog()
    count = MAX_LOOKED_AT + 500
    for number in range(count):
        created = begin(number, labels={"here": "yes"} if number == 3 else {})
        await log.append(created.run, (created,), expected=0)
    wanted = RunFilter(labels={"here": "yes"})
    first = await page_runs(log, wanted, tenant="acme", limit=10)
    assert (first.runs, first.after) == ([], f"run-{count - MAX_LOOKED_AT:032x}")
    second = await page_runs(log, wanted, tenant="acme", limit=10, after=first.after)
    assert ([one.run for one in second.runs], second.after) == ([f"run-{3:032x}"], None)


async def test_questions_of_one_run_may_be_on_two_pages() -> None:
    """By ids, whatever their keys hold; those of other tenants are on none."""
    log = MemoryLog()
    keys = ("1/tool/a b", "1/tool/ü", "1/tool/x/y", "1/tool/..%2F")
    await rest(log, 1, keys)
    await rest(log, 2, keys, tenant="globex")
    await rest(log, 3, keys[:1])
    found, after = list[tuple[str, str]](), None
    while True:
        page = await page_questions(log, tenant="acme", after=after, limit=2)
        found += [(one.run, one.key) for one in page.questions]
        after = page.after
        if after is None:
            break
    assert len(found) == len(set(found)) == 5
    assert {run for run, _ in found} == {f"run-{1:032x}", f"run-{3:032x}"}
    ids = {find_question_id(f"{key}/approval") for key in keys}
    assert len(ids) == 4
    assert all(len(one) == 36 and one.startswith("ask-") and one[4:].isalnum() for one in ids)


async def test_a_bounded_number_of_resting_runs_is_looked_at_for_a_page() -> None:
    log = MemoryLog()
    for number in range(MAX_RESTING + 300):
        created = begin(number)
        await log.append(created.run, (created,), expected=0)  # queued, and asking nothing
    await rest(log, 10_000, ("1/tool/a",))
    first = await page_questions(log, tenant="acme", limit=5)
    assert first.questions == []
    second = await page_questions(log, tenant="acme", limit=5, after=first.after)
    assert ([one.run for one in second.questions], second.after) == ([f"run-{10_000:032x}"], None)
