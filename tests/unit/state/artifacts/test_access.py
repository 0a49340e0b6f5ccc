"""Who may see, read and change an artifact?"""

from itertools import product

import pytest
from msgspec import structs
from tests.unit.state.artifacts.stores import MINE, OPERATOR, open_store

from quorate.errors import Forbidden, InvalidInput, NotFound, TooLarge
from quorate.state.artifacts import Access, Caller, Share
from quorate.testing import ManualClock

OWNER = Caller(tenant="acme", principal="ann", session="s-1", run="run-1")
CALLERS = {
    "the run itself": OWNER,
    "a run of the session": Caller(tenant="acme", principal="ann", session="s-1", run="run-2"),
    "a run of the session for somebody else": Caller(tenant="acme", principal="bob", session="s-1", run="run-3"),
    "a run elsewhere for the same": Caller(tenant="acme", principal="ann", session="s-2", run="run-4"),
    "a run elsewhere for somebody else": Caller(tenant="acme", principal="bob", session="s-2", run="run-5"),
    "a run without a session": Caller(tenant="acme", principal="bob", run="run-6"),
    "the person": Caller(tenant="acme", principal="ann"),
    "somebody else": Caller(tenant="acme", principal="bob"),
    "the operator": OPERATOR,
    "the same of another tenant": structs.replace(OWNER, tenant="other"),
    "another tenant's operator": Caller(tenant="other", operator=True),
}
ALLOWED: dict[Access, set[str]] = {
    "run": {"the run itself", "the person", "the operator"},
    "session": {
        "the run itself", "a run of the session", "a run of the session for somebody else", "the person", "the operator",
    },
    "principal": {"the run itself", "a run of the session", "a run elsewhere for the same", "the person", "the operator"},
    "tenant": set(CALLERS) - {"the same of another tenant", "another tenant's operator"},
}  # fmt: skip
MAY_CHANGE: dict[Access, set[str]] = {
    "run": {"the run itself", "the person", "the operator"},
    "session": {"the run itself", "a run of the session", "the person", "the operator"},
    "principal": ALLOWED["principal"],
    "tenant": ALLOWED["principal"],
}


@pytest.mark.parametrize(("access", "who"), list(product(ALLOWED, CALLERS)))
async def test_only_those_it_is_for_may_read(access: Access, who: str) -> None:
    """By handle, by name and by listing; for everybody else it is not there, in the same words.

    row: E11
    """
    async with open_store() as store:
        info = await store.save("plan", "secret", caller=OWNER, access=access)
        caller = CALLERS[who]
        if who in ALLOWED[access]:
            assert await store.find(info.id, caller=caller) == info
            assert await store.load(info, caller=caller) == b"secret"
            return
        assert await store.find(info.id, caller=caller) is None
        absent = "art-" + "0" * 28
        told = []
        for handle in (info.id, absent):
            for ask in (store.load, store.show, store.delete):
                with pytest.raises(NotFound) as error:
                    await ask(handle, caller=caller)
                told.append(str(error.value).replace(handle, "…"))
            with pytest.raises(NotFound):
                assert [piece async for piece in store.open(handle, caller=caller)]
        assert len(set(told)) == 1
        assert await store.load(info, caller=OWNER) == b"secret"


@pytest.mark.parametrize(("access", "who"), list(product(ALLOWED, CALLERS)))
async def test_only_those_it_was_saved_for_may_change_it(access: Access, who: str) -> None:
    """Whoever may only read it is told so; for everybody else it is not there."""
    async with open_store() as store:
        info = await store.save("plan", "secret", caller=OWNER, access=access)
        share = Share(kind="principal", who="eve")
        if who in MAY_CHANGE[access]:
            assert (await store.share(info.id, share, caller=CALLERS[who])).shares == (share,)
            assert await store.unshare(info.id, share, caller=CALLERS[who])
            await store.delete(info.id, caller=CALLERS[who])
            assert await store.find(info.id, caller=OWNER) is None
            return
        expected = Forbidden if who in ALLOWED[access] else NotFound
        for change in (store.share, store.unshare):
            with pytest.raises(expected):
                await change(info.id, share, caller=CALLERS[who])
        with pytest.raises(expected):
            await store.delete(info.id, caller=CALLERS[who])


@pytest.mark.parametrize(
    ("share", "let_in"),
    [
        (Share(kind="principal", who="bob"), {"a run elsewhere for somebody else", "a run without a session", "somebody else"}),
        (Share(kind="session", who="s-2"), {"a run elsewhere for the same", "a run elsewhere for somebody else"}),
        (Share(kind="tenant"), {"a run elsewhere for the same", "a run elsewhere for somebody else", "a run without a session", "somebody else"}),
    ],
)  # fmt: skip
async def test_a_share_lets_in_exactly_whom_it_names(share: Share, let_in: set[str]) -> None:
    """Until it is taken back; and to read only.

    row: E11
    """
    async with open_store() as store:
        info = await store.save("plan", "secret", caller=OWNER, access="session")
        before = {who for who, caller in CALLERS.items() if await store.find(info.id, caller=caller)}
        await store.share(info.id, share, caller=OWNER)
        after = {who for who, caller in CALLERS.items() if await store.find(info.id, caller=caller)}
        assert after == before | let_in
        for who in after - before:
            assert await store.load(info, caller=CALLERS[who]) == b"secret"
            with pytest.raises(Forbidden, match="may read artifact"):
                await store.delete(info.id, caller=CALLERS[who])
        assert await store.unshare(info.id, share, caller=OWNER)
        assert not await store.unshare(info.id, share, caller=OWNER)
        assert {who for who, caller in CALLERS.items() if await store.find(info.id, caller=caller)} == before


async def test_a_share_ends_when_it_was_said_to() -> None:
    """To the second, and again if it is given anew.

    row: E11
    """
    clock = ManualClock(1000.0)
    bob = CALLERS["somebody else"]
    async with open_store(clock) as store:
        info = await store.save("plan", "secret", caller=OWNER)
        await store.share(info.id, Share(kind="principal", who="bob", until=1060.0), caller=OWNER)
        clock.advance(59.5)
        assert await store.find(info.id, caller=bob) is not None
        clock.advance(0.5)
        assert await store.find(info.id, caller=bob) is None
        with pytest.raises(InvalidInput, match="this one is over"):
            await store.share(info.id, Share(kind="principal", who="bob", until=1060.0), caller=OWNER)
        record = await store.share(info.id, Share(kind="principal", who="bob", until=2000.0), caller=OWNER)
        assert record.shares == (Share(kind="principal", who="bob", until=2000.0),)
        assert await store.find(info.id, caller=bob) is not None


@pytest.mark.parametrize(
    "share", [Share(kind="principal"), Share(kind="session"), Share(kind="session", who="../x"), Share(kind="tenant", who="b")]
)  # fmt: skip
async def test_a_share_names_somebody(share: Share) -> None:
    async with open_store() as store:
        info = await store.save("plan", "secret", caller=OWNER)
        with pytest.raises(InvalidInput):
            await store.share(info.id, share, caller=OWNER)


async def test_shares_are_bounded() -> None:
    """Whoever has it already can be given more time even then."""
    async with open_store() as store:
        info = await store.save("plan", "secret", caller=OWNER)
        for number in range(100):
            await store.share(info.id, Share(kind="principal", who=f"p{number}"), caller=OWNER)
        with pytest.raises(TooLarge, match="shared with 100 already"):
            await store.share(info.id, Share(kind="principal", who="one more"), caller=OWNER)
        await store.share(info.id, Share(kind="principal", who="p5", until=2e9), caller=OWNER)


async def test_access_must_fit_where_it_was_saved() -> None:
    """What is for a session is saved in one."""
    async with open_store() as store:
        with pytest.raises(InvalidInput, match="access 'session' needs a session"):
            await store.save("a", "x", caller=MINE, access="session")
        with pytest.raises(InvalidInput, match="access 'run' needs a run"):
            await store.save("a", "x", caller=CALLERS["the person"], access="run")


@pytest.mark.parametrize("field", ["tenant", "session", "run"])
@pytest.mark.parametrize("wrong", ["../x", "a/b", "a\0b", "x" * 64, "Ä"])
async def test_ids_are_identifiers(field: str, wrong: str) -> None:
    """No id can carry a path into a key or a blob's name."""
    async with open_store() as store:
        with pytest.raises(InvalidInput, match=field):
            await store.save("a", "x", caller=structs.replace(OWNER, **{field: wrong}))


async def test_a_name_of_the_session_may_be_of_a_run_alone() -> None:
    """A version that is for another run is passed over: the last one that may be read is found."""
    async with open_store() as store:
        await store.save("plan", "for all", caller=OWNER)
        await store.save("plan", "for me", caller=OWNER, access="run")
        assert await store.load("plan", caller=OWNER) == b"for me"
        assert await store.load("plan", caller=CALLERS["a run of the session"]) == b"for all"
        assert await store.find("plan", caller=CALLERS["a run of the session"], version=2) is None
