"""Is what came of things kept once, whoever tells it, however many do, and wherever they are cut off?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from quorate import Agent, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.council.ballot import Ballot, Vote
from quorate.council.evidence import Judged, read_tasks
from quorate.council.ledger import MAX_ITEMS, TrustLedger
from quorate.council.outcomes import OutcomeBook, record_outcome
from quorate.council.trust import DAY_S, WINDOW_S, Evidence, Source
from quorate.errors import Conflict, CorruptState, Forbidden, InvalidInput, QuorateError, Unavailable, UnknownName
from quorate.orchestration.patterns.assigning import assigned
from quorate.orchestration.patterns.hierarchy import Part, assign_parts
from quorate.ports import Entry, KeyValue
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.rows import Patience
from quorate.testing.clock import ManualClock

NOW = 2_000 * WINDOW_S
ANN = Source(principal="ann")


async def rest(seconds: float) -> None:
    await asyncio.sleep(0)


PATIENCE = Patience(attempts=200, sleep=rest, random=lambda: 0.5)


def open_ledger(values: KeyValue, *, clock: ManualClock | None = None) -> TrustLedger:
    return TrustLedger(values, "trust/acme/", clock=clock or ManualClock(NOW), patience=PATIENCE)


def tell(
    name: str, score: float = 1.0, *, member: str = "disk", at: float = NOW, version: int = 0, topic: str = ""
) -> Evidence:
    return Evidence(
        id=name, member=member, kind="decision", score=score, at=at, source=Source(principal=f"by-{name}"), topic=topic,
        version=version,
    )  # fmt: skip


class Failing:
    """A `KeyValue` whose connection is lost at one write: before it is made, or once it is."""

    def __init__(self, inner: KeyValue, *, at: int, is_made: bool) -> None:
        self.inner = inner
        self.left = at
        self.is_made = is_made

    async def get(self, key: str) -> Entry | None:
        return await self.inner.get(key)

    async def put(self, key: str, value: bytes, *, if_revision: int | None = None, ttl_s: float | None = None) -> Entry:
        self.left -= 1
        if self.left == 0 and not self.is_made:
            raise Unavailable("The connection is lost.")
        entry = await self.inner.put(key, value, if_revision=if_revision, ttl_s=ttl_s)
        if self.left == 0:
            raise Unavailable("The connection is lost.")
        return entry

    async def delete(self, key: str, *, if_revision: int | None = None) -> bool:
        return await self.inner.delete(key, if_revision=if_revision)

    async def scan(self, prefix: str, *, after: str = "", limit: int = 100) -> list[Entry]:
        return await self.inner.scan(prefix, after=after, limit=limit)


async def test_each_outcome_counts_once() -> None:
    """However often it is told, in whichever company; part of row D13."""
    async with open_memory_store() as store:
        ledger = open_ledger(store.values)
        first = await ledger.note([tell("a"), tell("b", 0.0), tell("a", 0.0)])
        assert (first.counted, first.known) == (2, 1)
        value = (await ledger.read("disk")).value
        again = await open_ledger(store.values).note([tell("b", 0.0), tell("a")])
        assert (again.counted, again.known) == (0, 2)
        assert (await ledger.read("disk")).value == value == 0.5
        assert (await ledger.note([tell("a", member="net")])).counted == 1  # the same decision, and another member


async def test_a_correction_replaces_what_it_corrects() -> None:
    """Whichever of them comes first."""
    async with open_memory_store() as store:
        ledger = open_ledger(store.values)
        await ledger.note([tell("a", 1.0)])
        assert (await ledger.note([tell("a", 0.0, version=1)])).corrected == 1
        assert (await ledger.note([tell("a", 1.0)])).known == 1  # late, and not the last word
        assert (await ledger.read("disk")).value == pytest.approx(1 / 3)


async def test_it_rises_falls_and_fades() -> None:
    """Trust rises and falls with outcomes, is bounded, and decays under a clock. part of row D13"""
    async with open_memory_store() as store:
        clock = ManualClock(NOW)
        ledger = open_ledger(store.values, clock=clock)
        seen = [(await ledger.read_weights(["disk"]))["disk"]]
        for week in range(60):
            clock.advance(7 * DAY_S)
            await ledger.note([tell(f"good-{week}-{number}", at=clock.now()) for number in range(6)])
            seen.append((await ledger.read_weights(["disk"]))["disk"])
        assert seen[0] == 0.5
        assert seen[-1] == 0.95
        assert seen == sorted(seen)
        await ledger.note([tell(f"bad-{number}", 0.0, at=clock.now()) for number in range(80)])
        fallen = (await ledger.read_weights(["disk"]))["disk"]
        assert fallen < 0.5
        clock.advance(300 * DAY_S)
        assert fallen < (await ledger.read_weights(["disk"]))["disk"] < 0.51
        report = await ledger.note([tell("late", at=clock.now() - 301 * DAY_S)])
        assert report.left_out == 1


async def test_those_who_write_at_the_same_time_lose_nothing() -> None:
    """Many ledgers in one process, and one revision after the other."""
    async with open_memory_store() as store:
        ledgers = [open_ledger(store.values) for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(ledgers[number % 5].note([tell(f"d-{number}"), tell(f"d-{number}", member="net")]))
        for member in ("disk", "net"):
            assert (await ledgers[0].read(member)).counts["decision"] == 60


async def test_two_processes_of_one_file_lose_nothing(tmp_path: Path) -> None:
    """Each with connections of its own."""
    path = tmp_path / "runs.db"
    async with open_sqlite_store(path) as one, open_sqlite_store(path) as two:
        ledgers = [open_ledger(one.values), open_ledger(two.values)]
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ledgers[number % 2].note([tell(f"d-{number}")]))
        assert (await ledgers[0].read("disk")).counts["decision"] == 20


async def test_what_was_cut_off_is_told_again() -> None:
    """The connection is lost at each write in turn, before and after it was made: in the end each counts once."""
    told = [tell("a", member=f"m-{number}") for number in range(3)]
    for at in (1, 2, 3):
        for is_made in (False, True):
            async with open_memory_store() as store:
                ledger = open_ledger(Failing(store.values, at=at, is_made=is_made))
                with pytest.raises(Unavailable):
                    await ledger.note(told)
                await ledger.note(told)
                counts = [(await ledger.read(one.member)).counts["decision"] for one in told]
                assert counts == [1, 1, 1]


async def test_nothing_of_a_lot_is_taken_where_somebody_speaks_of_itself() -> None:
    """part of row D13"""
    async with open_memory_store() as store:
        ledger = open_ledger(store.values)
        own = Evidence(
            id="b", member="net", kind="feedback", score=1, at=NOW, source=Source(principal="ann", agent="net")
        )
        with pytest.raises(Forbidden, match="'net' speaks of itself"):
            await ledger.note([tell("a"), own])
        with pytest.raises(InvalidInput, match="in the future"):
            await ledger.note([tell("a"), tell("b", at=NOW + 2 * 3_600)])
        assert await ledger.list_members() == []


async def test_a_week_has_room_for_so_much() -> None:
    """And what is above changes nothing that is there."""
    async with open_memory_store() as store:
        ledger = open_ledger(store.values)
        many = [tell(f"{'x' * 100}-{number}", topic="t" * 48) for number in range(MAX_ITEMS + 5)]
        noted = await ledger.note(many)
        assert (noted.counted, noted.left_out) == (MAX_ITEMS, 5)
        assert (await ledger.note([tell(f"{'x' * 100}-0", 0.0, version=1, topic="t" * 48)])).corrected == 1


async def test_members_are_listed_apart_and_forgotten() -> None:
    """Names that begin alike, or hold anything, are one another's neighbours and no more."""
    names = ["disk", "disk-2", "disk/2", "Ärzte %", "person:ann@example.com", "~"]
    async with open_memory_store() as store:
        ledger = open_ledger(store.values)
        await ledger.note([tell("a", member=name, at=NOW - weeks * WINDOW_S) for name in names for weeks in (0, 1, 2)])
        await TrustLedger(store.values, "trust/other/", clock=ManualClock(NOW)).note([tell("a", 0.0)])
        listed = await ledger.list_members()
        assert sorted(listed) == sorted(names)
        pages = [await ledger.list_members(limit=2), await ledger.list_members(after=listed[1], limit=10)]
        assert [name for page in pages for name in page] == listed
        weights = await ledger.read_weights([*names, *names, "nobody"])
        assert (len(weights), weights["nobody"], len(set(weights.values()))) == (7, 0.5, 2)
        assert await ledger.forget("disk") == 3
        assert "disk-2" in (left := await ledger.list_members())
        assert "disk" not in left


async def test_what_does_not_read_is_said() -> None:
    async with open_memory_store() as store:
        await store.values.put("trust/acme/member/disk/002000", b"{")
        with pytest.raises(CorruptState, match="'trust/acme/member/disk/002000' does not read"):
            await open_ledger(store.values).read("disk")


def build_decision(number: int = 1, **choices: str) -> Judged:
    votes = tuple(Vote(voter=name, ballot=Ballot(choice=choice, confidence=0.9)) for name, choice in choices.items())
    return Judged(
        id=f"decision-{number}", options=("dns", "disk"), votes=votes, winner="dns", closed=NOW, topic="outage", run="run-1"
    )  # fmt: skip


async def test_what_turned_out_true_is_kept_once_and_moves_those_who_voted() -> None:
    """part of row D13"""
    async with open_memory_store() as store:
        ledger, clock = open_ledger(store.values), ManualClock(NOW + 5)
        book = OutcomeBook(store.values, "trust/acme/")
        decision = build_decision(a="dns", b="disk", ann="dns")
        report = await record_outcome(
            decision, "disk", source=ANN, book=book, ledger=ledger, clock=clock, reason="it was full"
        )
        assert (report.is_new, report.noted.counted, report.figures.is_right) == (True, 2, False)
        assert report.figures.brier == pytest.approx((0.81 * 2 + 0.01) / 3)
        outcome = await book.find("decision-1")
        assert outcome is not None
        assert (outcome.truth, outcome.is_settled, outcome.said[0].by, outcome.said[0].at) == (
            "disk",
            True,
            "ann",
            NOW + 5,
        )
        weights = await ledger.read_weights(["a", "b", "ann"], "outage")
        assert weights["a"] < weights["ann"] == 0.5 < weights["b"]
        again = await record_outcome(
            decision, "disk", source=Source(principal="bob"), book=book, ledger=ledger, clock=clock
        )
        assert (again.is_new, again.noted.known, again.outcome) == (False, 2, outcome)
        with pytest.raises(Conflict, match="it is known that 'disk' was true, as 'ann' said"):
            await record_outcome(decision, "dns", source=ANN, book=book, ledger=ledger)
        assert await ledger.read_weights(["a", "b", "ann"], "outage") == weights


async def test_a_truth_is_corrected_and_both_are_kept() -> None:
    async with open_memory_store() as store:
        ledger, book = open_ledger(store.values), OutcomeBook(store.values, "trust/acme/", clock=ManualClock(NOW))
        decision = build_decision(a="dns", b="disk")
        await record_outcome(decision, "disk", source=ANN, book=book, ledger=ledger)
        worth = {"dns": 10.0, "disk": 2.0}
        report = await record_outcome(
            decision, "dns", source=Source(principal="bob"), book=book, ledger=ledger, corrects=True, utilities=worth
        )
        assert [(said.truth, said.by) for said in report.outcome.said] == [("disk", "ann"), ("dns", "bob")]
        assert (report.is_new, report.noted.corrected, report.figures.regret, report.outcome.is_settled) == (
            True,
            2,
            0,
            True,
        )
        weights = await ledger.read_weights(["a", "b"])
        assert weights["b"] < 0.5 < weights["a"]
        assert [one.truth for one in await book.list_outcomes()] == ["dns"]


async def test_an_outcome_that_was_cut_off_is_gone_on_with() -> None:
    """Whichever write fails, before or after it was made: what is said again ends in the same."""
    decision = build_decision(a="dns", b="disk")
    for at in (1, 2, 3, 4):
        for is_made in (False, True):
            async with open_memory_store() as store:
                values = Failing(store.values, at=at, is_made=is_made)
                ledger, book = open_ledger(values), OutcomeBook(values, "trust/acme/", clock=ManualClock(NOW))
                with pytest.raises(Unavailable):
                    await record_outcome(decision, "disk", source=ANN, book=book, ledger=ledger)
                report = await record_outcome(decision, "disk", source=ANN, book=book, ledger=ledger)
                assert report.outcome.is_settled
                assert len(report.outcome.said) == 1
                assert [(await ledger.read(name)).counts["decision"] for name in ("a", "b")] == [1, 1]


async def test_two_who_correct_at_the_same_time_end_in_the_last_word() -> None:
    """Trust is what the last word says, whoever learned of it last."""
    async with open_memory_store() as store:
        ledger, book = open_ledger(store.values), OutcomeBook(store.values, "trust/acme/", clock=ManualClock(NOW))
        decision = build_decision(a="dns", b="disk")
        await record_outcome(decision, "disk", source=ANN, book=book, ledger=ledger)

        async def say(truth: str, who: str) -> None:
            for _ in range(3):
                await record_outcome(
                    decision, truth, source=Source(principal=who), book=book, ledger=ledger, corrects=True
                )  # fmt: skip

        async with asyncio.TaskGroup() as group:
            group.create_task(say("dns", "bob"))
            group.create_task(say("disk", "eve"))
        outcome = await book.find("decision-1")
        assert outcome is not None
        weights = await ledger.read_weights(["a", "b"])
        assert max(weights, key=lambda name: weights[name]) == {"dns": "a", "disk": "b"}[outcome.truth]


REFUSED: list[tuple[dict[str, object], type[QuorateError], str]] = [
    ({"truth": "logs"}, UnknownName, "'logs'"),
    ({"source": Source(principal="ann", agent="a")}, Forbidden, "'a' voted in 'decision-1'"),
    ({"utilities": {"logs": 1.0}}, InvalidInput, "'logs' has a worth"),
    ({"utilities": {"disk": 1.0}}, InvalidInput, "worth of each option"),
    ({"utilities": {"disk": float("nan"), "dns": 1.0}}, InvalidInput, "finite worth"),
    ({"reason": "x" * 4_001}, InvalidInput, "4001 characters"),
]


@pytest.mark.parametrize(("faults", "kind", "words"), REFUSED)
async def test_what_cannot_be_said_leaves_nothing_behind(
    faults: dict[str, object], kind: type[QuorateError], words: str
) -> None:  # fmt: skip
    async with open_memory_store() as store:
        ledger, book = open_ledger(store.values), OutcomeBook(store.values, "trust/acme/")
        facts: dict[str, object] = {"truth": "disk", "source": ANN} | faults
        with pytest.raises(kind, match=words):
            await record_outcome(build_decision(a="dns", b="disk"), book=book, ledger=ledger, **facts)  # type: ignore[arg-type]
        assert await store.values.scan("") == []


def build_members(answers: Sequence[object]) -> list[AnyAgent]:
    return [
        Agent(name, model=ScriptedModel([answer] * 4), description="Finds out how full a disk is.")  # type: ignore[list-item]
        for name, answer in zip(("disk-a", "disk-b"), answers, strict=True)
    ]


async def test_trust_that_was_earned_chooses_who_works() -> None:
    """Trust rises and falls with outcomes, is bounded, decays, and affects who is chosen. row: D13"""
    async with open_memory_store() as store:
        clock = ManualClock(NOW)
        ledger = open_ledger(store.values, clock=clock)

        async def ask() -> str:
            weights = await ledger.read_weights(["disk-a", "disk-b"])
            team = assigned("team", build_members([InvalidInput("It broke."), "Half full."]), trust=weights)
            result = await team.run("how full is the disk?")
            told = [
                Evidence(
                    id=one.id, member=one.member, kind=one.kind, score=one.score, at=clock.now(), source=one.source
                )
                for one in read_tasks(result.events)
            ]  # of the moved clock
            await ledger.note(told)
            return result.output.contributions[0].agent

        assert await ask() == "disk-a"  # they are trusted alike, and it is the first
        weights = await ledger.read_weights(["disk-a", "disk-b"])
        assert 0.05 <= weights["disk-a"] < 0.5 < weights["disk-b"] <= 0.95
        assert await ask() == "disk-b"
        part = Part(task="how full is the disk?")
        assert assign_parts([part], build_members(["a", "b"]), await ledger.read_weights(["disk-a", "disk-b"])) == [
            "disk-b"
        ]
        clock.advance(3_000 * DAY_S)  # by now nobody knows them any more
        assert await ledger.read_weights(["disk-a", "disk-b"]) == {"disk-a": 0.5, "disk-b": 0.5}
        assert await ask() == "disk-a"
