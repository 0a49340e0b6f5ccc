"""Is what somebody looks for found, all of it, and nothing that is not theirs?"""

from collections.abc import Sequence

import pytest
from tests.unit.state.artifacts.stores import OPERATOR, open_store

from quorate.errors import InvalidInput
from quorate.ports import ArtifactInfo
from quorate.state.artifacts import ArtifactQuery, ArtifactStore, Caller, Share, search_artifacts
from quorate.testing import ManualClock

ANN = Caller(tenant="acme", principal="ann", session="s-1", run="run-1")
BOB = Caller(tenant="acme", principal="bob", run="run-9")


async def fill(store: ArtifactStore, clock: ManualClock) -> None:
    for name, size, media_type, labels in (
        ("report.md", 10, "text/markdown", {"kind": "report", "month": "1"}),
        ("report.md", 20, "text/markdown", {"kind": "report", "month": "2"}),
        ("data/a.csv", 2000, "text/csv", {"kind": "data"}),
        ("data/b.csv", 3000, "text/csv", {}),
        ("photo.png", 50_000, "image/png", {}),
    ):
        await store.save(name, bytes([size % 251]) * size, caller=ANN, media_type=media_type, labels=labels)
        clock.advance(100)
    await store.save("report.md", "bob's", caller=BOB, media_type="text/markdown", access="run")
    await store.save("report.md", "other", caller=Caller(tenant="other", run="run-1"))


def show(items: Sequence[ArtifactInfo]) -> list[str]:
    return [f"{info.name} v{info.version}" for info in items]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ArtifactQuery(name="report.md"), ["report.md v1", "report.md v2", "report.md v1"]),
        (ArtifactQuery(name="data/*"), ["data/a.csv v1", "data/b.csv v1"]),
        (ArtifactQuery(name="*.png"), ["photo.png v1"]),
        (ArtifactQuery(name="data/[b-z].csv"), ["data/b.csv v1"]),
        (ArtifactQuery(media_type="text/csv"), ["data/a.csv v1", "data/b.csv v1"]),
        (ArtifactQuery(media_type="image/*"), ["photo.png v1"]),
        (ArtifactQuery(labels={"kind": "report", "month": "1"}), ["report.md v1"]),
        (ArtifactQuery(session="s-1", name="report*"), ["report.md v2", "report.md v1"]),
        (ArtifactQuery(run="run-9"), ["report.md v1"]),
        (ArtifactQuery(principal="bob"), ["report.md v1"]),
        (ArtifactQuery(min_size=2000, max_size=3000), ["data/a.csv v1", "data/b.csv v1"]),
        (ArtifactQuery(since=1100.0, before=1300.0), ["data/a.csv v1", "report.md v2"]),
        (ArtifactQuery(session="s-2"), []),
        (ArtifactQuery(name="nothing"), []),
    ],
)
async def test_all_that_is_given_must_fit(query: ArtifactQuery, found: list[str]) -> None:
    """Names and their beginnings, types, labels, sessions, runs, principals, times, sizes.

    row: E11
    """
    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        await fill(store, clock)
        page = await search_artifacts(store, query, caller=OPERATOR)
        assert show(page.items) == found
        assert page.next == ""


async def test_what_a_run_of_a_session_saved_is_found_by_the_run() -> None:
    """In its session or not."""
    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        await fill(store, clock)
        page = await search_artifacts(store, ArtifactQuery(run="run-1"), caller=OPERATOR)
        assert sorted(show(page.items)) == [
            "data/a.csv v1", "data/b.csv v1", "photo.png v1", "report.md v1", "report.md v2",
        ]  # fmt: skip


@pytest.mark.parametrize("query", [ArtifactQuery(), ArtifactQuery(session="s-1"), ArtifactQuery(run="run-1")])
@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_pages_follow_each_other(query: ArtifactQuery, size: int) -> None:
    """Nothing twice, nothing left out, and the last one says that it is."""
    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        await fill(store, clock)
        whole = await search_artifacts(store, query, caller=OPERATOR)
        found, after = list[ArtifactInfo](), ""
        while True:
            page = await search_artifacts(store, query, caller=OPERATOR, after=after, limit=size)
            found += page.items
            after = page.next
            if not after:
                break
            assert len(page.items) == size
        assert found == list(whole.items)


async def test_a_list_has_only_what_the_caller_may_read() -> None:
    """And what was shared with them, as long as it is.

    row: E11
    """
    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        await fill(store, clock)
        assert len((await search_artifacts(store, ArtifactQuery(), caller=ANN)).items) == 5
        found = (await search_artifacts(store, ArtifactQuery(), caller=BOB)).items
        assert [info.principal for info in found] == ["bob"]
        photo = await store.find("photo.png", caller=ANN)
        table = await store.find("data/a.csv", caller=ANN)
        assert photo is not None
        assert table is not None
        await store.share(photo.id, Share(kind="principal", who="bob", until=clock.now() + 60), caller=ANN)
        await store.share(table.id, Share(kind="tenant"), caller=ANN)
        found = (await search_artifacts(store, ArtifactQuery(), caller=BOB)).items
        assert sorted(info.name for info in found) == ["data/a.csv", "photo.png", "report.md"]
        clock.advance(60)
        found = (await search_artifacts(store, ArtifactQuery(), caller=BOB)).items
        assert sorted(info.name for info in found) == ["data/a.csv", "report.md"]


async def test_a_page_names_nothing_of_others() -> None:
    """Where a page ends is one of its own items."""
    import base64

    clock = ManualClock(1000.0)
    async with open_store(clock) as store:
        await fill(store, clock)
        await store.save("mine", "2", caller=BOB)
        page = await search_artifacts(store, ArtifactQuery(), caller=BOB, limit=1)
        assert "run-9" in base64.urlsafe_b64decode(page.next).decode()


@pytest.mark.parametrize("after", ["nonsense", "!!", "YXJ0aWZhY3Qvb3RoZXIvb3duLw=="])
async def test_a_page_of_another_list_is_refused(after: str) -> None:
    """What is made up, and another tenant's."""
    async with open_store() as store:
        with pytest.raises(InvalidInput, match="page"):
            await search_artifacts(store, ArtifactQuery(), caller=OPERATOR, after=after)


async def test_a_pattern_is_bounded_and_quick() -> None:
    """No pattern takes long, whatever the names are."""
    async with open_store() as store:
        await store.save("a" * 250, "x", caller=ANN)
        with pytest.raises(InvalidInput, match="at most 256 characters"):
            await search_artifacts(store, ArtifactQuery(name="*a" * 200), caller=OPERATOR)
        page = await search_artifacts(store, ArtifactQuery(name="*a" * 120 + "b"), caller=OPERATOR)
        assert page.items == ()
