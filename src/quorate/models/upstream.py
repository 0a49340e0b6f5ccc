"""What stands between a route and one model: its credentials, their breakers, a bulkhead, attempts?"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic as monotonic_
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from quorate.models.attempts import RetryBudget
from quorate.models.bounded import BULKHEAD_RULE, Bounded, BulkheadRule
from quorate.models.breaking import BREAKER_POLICY, Breaker, BreakerPolicy, Breaking
from quorate.models.connections import Connections
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.grants import check_credential
from quorate.models.health import Health, TargetHealth
from quorate.models.hedged import Hedged, HedgeRule
from quorate.models.pooled import Pooled, PoolRule, Slot, choose_names
from quorate.models.remote import RemoteModel
from quorate.models.retry import RETRY_POLICY, Retrying, RetryPolicy
from quorate.models.target import Target
from quorate.models.tokens import estimate_request
from quorate.ports import Model
from quorate.specs import Request

if TYPE_CHECKING:
    from quorate.models.limits.limiter import Limiter

CHAIN_WAIT_S = 2.0
"""How long a provider may ask to wait while another model can be asked at once."""


class Patience(Struct, frozen=True, kw_only=True):
    """How one model is asked, as a plan says it."""

    retry: RetryPolicy = RETRY_POLICY
    breaker: BreakerPolicy = BREAKER_POLICY
    timeouts: Timeouts = TIMEOUTS
    bulkhead: BulkheadRule = BULKHEAD_RULE
    pool: PoolRule | None = None
    hedge: HedgeRule | None = None


class Upstream:
    """One model as a gateway knows it: everything that its routes share.

    Args:
        target: Where it is, and what is known about it.
        inner: The model with its credentials, its breakers and its bulkhead.
        pool: Its credentials.
        breakers: One for each credential.
        patience: How it is asked.
        budget: What the gateway's layers may make again, all together.
    """

    def __init__(
        self,
        target: Target,
        inner: Bounded,
        *,
        pool: Pooled,
        breakers: tuple[Breaker, ...],
        patience: Patience,
        budget: RetryBudget,
    ) -> None:
        self.target = target
        self.inner = inner
        self.breakers = breakers
        self._pool = pool
        self._patience = patience
        self._budget = budget

    @property
    def health(self) -> Health:
        """What is measured of it."""
        return self.inner.health

    def build_report(self) -> TargetHealth:
        """Describe how it stands."""
        return self.health.build_report(
            credentials=self._pool.build_reports(), in_flight=self.inner.in_flight, waiting=self.inner.waiting
        )

    def build_alone(self) -> Model:
        """Build what is asked by its own name: with all attempts, which count as calls of the gateway."""
        return self._hedge(Retrying(self.inner, policy=self._patience.retry, budget=self._budget))

    def build_last(self) -> Model:
        """Build what a route asks when there is no other to go to: with all attempts."""
        return self._hedge(Retrying(self.inner, policy=self._patience.retry, budget=self._budget.within))

    def build_quick(self, attempts: int) -> Model:
        """Build what a route asks while there is another model to go to."""
        if attempts == 1:
            return self._hedge(self.inner)
        policy = structs.replace(self._patience.retry, attempts=attempts, max_wait_s=CHAIN_WAIT_S)
        return self._hedge(Retrying(self.inner, policy=policy, budget=self._budget.within))

    def _hedge(self, model: Model) -> Model:
        rule = self._patience.hedge
        if rule is None or (rule.models and self.target.name not in rule.models):
            return model
        return Hedged(model, rule=rule, budget=self._budget, price=self.target.price)


def build_upstream(
    target: Target,
    *,
    credentials: Credentials,
    patience: Patience,
    budget: RetryBudget,
    connections: Connections,
    limiter: Limiter | None = None,
    estimate: Callable[[Request, str], int] = estimate_request,
    find_place: Callable[[Credentials], Target] | None = None,
    monotonic: Callable[[], float] = monotonic_,
) -> Upstream:
    """Build a model's own layers: `Bounded(Pooled([Limited(Breaking(RemoteModel(credential)))]))`.

    Args:
        target: Where the model is, and what is known about it.
        credentials: Gives the credentials.
        patience: How it is asked.
        budget: What the gateway's layers may make again, all together.
        connections: The gateway's HTTP clients.
        limiter: The gateway's limits.
        estimate: Estimates the tokens of a request to a model.
        find_place: Finds where the model is for one of several credentials, such as in a region of its own.
        monotonic: Where to read the time.

    Raises:
        Unauthenticated: There is one credential, and it is missing.
    """
    slots: list[Slot] = []
    breakers: list[Breaker] = []
    given = _list_credentials(target, credentials, patience.pool)
    if len(given) == 1:
        check_credential(target, given[0][1])
    for name, own in given:
        place = target if find_place is None or len(given) == 1 else find_place(own)
        breaker = Breaker(target.name, policy=patience.breaker, monotonic=monotonic)
        remote = build_remote(place, credentials=own, timeouts=patience.timeouts, connections=connections)
        model: Model = Breaking(remote, breaker=breaker)
        if limiter is not None and limiter.rules:
            from quorate.models.limited import Limited  # a gateway without limits does not load them

            model = Limited(model, limiter=limiter, model=target.name, credential=name, count=estimate)
        slots.append(Slot(model, name=name, breaker=breaker))
        breakers.append(breaker)
    rule = patience.pool
    pool = Pooled(
        slots,
        choose="round_robin" if rule is None else rule.choose,
        cooldown_s=30.0 if rule is None else rule.cooldown_s,
        budget=budget.within,
        monotonic=monotonic,
    )
    inner = Bounded(pool, rule=patience.bulkhead, health=Health(target.name, monotonic=monotonic), monotonic=monotonic)
    return Upstream(target, inner, pool=pool, breakers=tuple(breakers), patience=patience, budget=budget)


def build_remote(
    target: Target, *, credentials: Credentials, timeouts: Timeouts, connections: Connections | None = None
) -> Model:
    """Build the model itself, spoken to by us or by the library that its provider needs.

    Raises:
        MissingExtra: That library is not installed.
    """
    if target.provider.dialect == "litellm":
        from quorate.models.providers.litellm.model import LiteLLMModel  # it brings its own way of sending

        return LiteLLMModel(target, credentials=credentials, timeouts=timeouts)
    remote = RemoteModel(target, credentials=credentials, timeouts=timeouts, connections=connections)
    if target.provider.dialect != "responses":
        return remote
    from quorate.models.forgetting import Forgetting  # of all dialects, one encrypts reasoning for an account

    return Forgetting(remote)


def _list_credentials(target: Target, credentials: Credentials, pool: PoolRule | None) -> list[tuple[str, Credentials]]:
    """List the credentials of a model, each with the name it is known by."""
    key_env = target.provider.key_env
    if pool is None:
        return [(key_env or "", credentials)]
    names = [next(iter(key.values()), "") if isinstance(key, dict) else key for key in pool.keys]
    return [(name, choose_names(credentials, key_env, key)) for name, key in zip(names, pool.keys, strict=True)]
