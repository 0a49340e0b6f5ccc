"""What follows from how an endpoint answered: is the delivery made, tried again and when, or given up?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

from quorate.runtime.webhooks.delivery import DAY_S, Delivery

DELAYS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""How long is waited after each failure, as the Standard Webhooks specification proposes: ten tries in 76 hours."""
JITTER = 0.2
GONE = 410
LATEST_S = DAY_S
"""The most that `Retry-After` puts a delivery off."""
SKEW_S = 60.0
"""How far two processes may be apart in what they take for the store's time."""


class WebhookPolicy(Struct, frozen=True, kw_only=True):
    """How patient, how fast and how many at once."""

    delays_s: tuple[float, ...] = DELAYS_S
    """The waits between tries; after the last one a delivery is given up."""
    timeout_s: float = 15.0
    """How long an endpoint may take, from connecting to its answer's last header."""
    lease_s: float = 60.0
    """After how many seconds somebody else goes on with a delivery that was begun."""
    per_endpoint: int = 4
    """How many deliveries one process has under way to one webhook."""
    at_once: int = 64
    """How many it has under way in all."""
    trip_after: int = 5
    """After how many failures in a row an endpoint is left alone for a while."""
    rest_s: float = 10.0
    """For how long at first; it doubles with each further failure."""
    longest_rest_s: float = 300.0
    disable_after_s: float = 5 * DAY_S
    """After how long without a success a webhook is switched off."""
    disable_after: int = 10
    """And after how many failures at least."""
    crashes: int = 5
    """How often whoever sends a delivery may die of it."""


POLICY = WebhookPolicy()


class Answer(Struct, frozen=True, kw_only=True):
    """How an endpoint answered."""

    status: int = 0
    """The HTTP status; 0 when there was none."""
    reason: str = ""
    """Why it failed, in our words: nothing that it sent is in them."""
    retry_after_s: float | None = None
    took_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        """Whether the webhook was taken."""
        return 200 <= self.status < 300


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an endpoint does that failed; there is none for one whose last answer was good."""

    failures: int = 0
    """In a row."""
    since: float = 0.0
    """When the first of them was, by the store's time."""
    rests_until: float = 0.0
    """Until when it is left alone."""


Verdict = Literal["delivered", "again", "dead"]


def judge(answer: Answer) -> str:
    """Say in a few words why an answer is a failure; nothing when it is none."""
    if answer.is_taken:
        return ""
    if answer.reason:
        return answer.reason
    if 300 <= answer.status < 400:
        return f"answered {answer.status}: redirects are not followed, set the URL anew"
    return f"answered {answer.status}"


def choose_delay(
    delivery: Delivery, answer: Answer, policy: WebhookPolicy, *, random: Callable[[], float]
) -> float | None:
    """Choose the wait after a failure, spread by chance; `None` when the delivery is given up.

    Args:
        delivery: With this failure counted.
        answer: How the endpoint answered.
        policy: How patient we are.
        random: Gives numbers from 0 to 1.
    """
    if answer.status == GONE or delivery.failures > len(policy.delays_s):
        return None
    delay = policy.delays_s[delivery.failures - 1] * (1 + JITTER * random())
    asked = min(answer.retry_after_s or 0.0, LATEST_S)
    return max(delay, asked * (1 + JITTER / 2 * random()))


def worsen(health: Health | None, answer: Answer, policy: WebhookPolicy, *, now: float) -> Health:
    """Count a failure of an endpoint, and say until when it is left alone."""
    failures = 1 + (health.failures if health is not None else 0)
    beyond = failures - policy.trip_after
    rest_s = 0.0 if beyond < 0 else min(policy.longest_rest_s, policy.rest_s * 2.0 ** min(beyond, 30))
    rest_s = max(rest_s, min(answer.retry_after_s or 0.0, LATEST_S))
    before = health.rests_until if health is not None and is_resting(health, now=now) else 0.0
    since = min(health.since, now) if health is not None else now
    return Health(failures=failures, since=since, rests_until=max(before, now + rest_s))


def is_resting(health: Health, *, now: float) -> bool:
    """Whether an endpoint is left alone; what is far ahead was written while the clock was wrong."""
    return now < health.rests_until <= now + LATEST_S + SKEW_S


def is_hopeless(health: Health, policy: WebhookPolicy, *, now: float) -> bool:
    """Whether an endpoint has failed for so long that its webhook is switched off."""
    return health.failures >= policy.disable_after and now - health.since >= policy.disable_after_s


def is_due(delivery: Delivery, policy: WebhookPolicy, *, now: float) -> bool:
    """Whether a delivery may be tried; what is far ahead was written while the clock was wrong."""
    is_later = now < delivery.next <= now + LATEST_S * (1 + JITTER) + SKEW_S
    return not is_later and not is_claimed(delivery, policy, now=now)


def is_claimed(delivery: Delivery, policy: WebhookPolicy, *, now: float) -> bool:
    """Whether somebody is at it."""
    return now < delivery.claimed_until <= now + policy.lease_s + SKEW_S


def choose_next(rows: Iterable[Delivery], policy: WebhookPolicy, *, now: float, most: int) -> list[Delivery]:
    """Choose which deliveries of one webhook are made next: of each run the oldest, unless that is being tried again.

    Args:
        rows: Some that are to be made, by run and number.
        policy: How patient we are.
        now: The store's time.
        most: How many at most.
    """
    chosen, held = list[Delivery](), set[str]()
    for row in rows:
        if len(chosen) >= most:
            break
        if row.run in held:
            continue
        if is_due(row, policy, now=now):
            chosen.append(row)
            held.add(row.run)
        elif not row.failures or is_claimed(row, policy, now=now):
            held.add(row.run)  # somebody is at it: those behind it wait for its first try
    return chosen
