"""Do limits hold with very many callers, and is what they keep bounded?"""

import time

import pytest

from quorate.errors import Unavailable
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.memory import MemoryLimits
from quorate.models.limits.rules import LimitRule, build_claim
from quorate.models.limits.store import Ticket
from quorate.models.limits.window import MAX_ENTRIES, Window, add, build_window, settle, trim
from quorate.specs import Caller

RULES = (
    LimitRule(name="a", scope="key", requests=5),
    LimitRule(name="b", scope="tenant", requests=5),
    LimitRule(name="c", requests=1_000_000),
)


def test_what_is_settled_late_does_not_grow_without_bound() -> None:
    """Calls that take longer than their window use more than was foreseen, thousands at a time."""
    window = build_window(0.0)
    ids = [add(window, number / 1000, 1.0, 1) for number in range(10_000)]
    trim(window, 100.0, 1.0)
    assert not window.entries
    for number, entry in enumerate(ids):
        settle(window, entry, 100.0 + number / 20_000, 1.0, tokens=3)
    assert len(window.entries) <= 2 * MAX_ENTRIES
    assert window.tokens == 30_000
    trim(window, 102.0, 1.0)
    assert window == Window(last=window.last)


async def test_a_new_caller_passes_whenever_old_windows_are_swept() -> None:
    """A sweep between two windows of one call does not take the first of them away."""
    limiter = Limiter(RULES)
    for number in range(2000):
        caller = Caller(tenant=f"t{number}", principal=f"p{number}")
        ticket = await limiter.enter(limiter.find_claims(caller, model="m"))
        assert len(ticket.ids) == 3


async def test_refused_callers_cost_little_when_there_are_too_many_windows() -> None:
    """Each of them fails at once, without a look at all windows there are."""
    now = 0.0
    store = MemoryLimits(monotonic=lambda: now, max_windows=20_000)
    rule = LimitRule(name="r", scope="key", requests=5)
    for number in range(20_000):
        assert isinstance(await store.admit([build_claim(rule, f"k{number}")], 0), Ticket)
    began = time.process_time()
    for number in range(500):
        with pytest.raises(Unavailable):
            await store.admit([build_claim(rule, f"late-{number}")], 0)
    assert time.process_time() - began < 0.5
    now = 61.0
    assert isinstance(await store.admit([build_claim(rule, "late-1")], 0), Ticket)
