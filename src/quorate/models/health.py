"""How well does each model answer just now, by the calls that are made anyway?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.models.breaking import BreakerReport

WEIGHT = 0.2
"""How much the newest call counts."""
HALF_LIFE_S = 30.0
"""After how long without a call half of the failures is forgotten, so that a model comes back by itself."""
ILL = 0.5
"""The share of failures from which on a model is asked after all others."""


class ProbeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How models that nobody calls are looked after; a probe is a small call that may cost money."""

    every_s: Annotated[float, Meta(ge=1, le=86_400)] = 30.0
    models: tuple[str, ...] = ()
    """The models' names in full; those that are not well when nothing is said."""


class CredentialReport(Struct, frozen=True, kw_only=True):
    """How one credential of a model stands."""

    name: str
    """The name of the environment variable it is in, never its value."""
    state: Literal["ready", "cooling", "refused"] = "ready"
    retry_after_s: float = 0.0
    note: str = ""
    in_flight: int = 0
    used: int = 0
    """Calls made with it."""
    breaker: BreakerReport | None = None


class TargetHealth(Struct, frozen=True, kw_only=True):
    """How one model stands, for people, metrics and readiness."""

    model: str
    state: Literal["well", "ill", "down"] = "well"
    """`ill`: most calls failed lately; `down`: it is not called at all for a while."""
    latency_s: float | None = None
    """How long a whole answer takes."""
    first_s: float | None = None
    """How long a stream's first piece takes."""
    failure_share: float = 0.0
    calls: int = 0
    failures: int = 0
    last_error: str = ""
    """The code of the last failure."""
    quality: float | None = None
    """How good its answers were rated, 0 to 1."""
    in_flight: int = 0
    waiting: int = 0
    credentials: tuple[CredentialReport, ...] = ()


class Health:
    """What is measured of one model; a call adds a few numbers, and nothing is kept of it."""

    __slots__ = (
        "_at",
        "_monotonic",
        "_share",
        "calls",
        "failures",
        "first_s",
        "last_error",
        "latency_s",
        "name",
        "quality",
    )

    def __init__(self, name: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.calls = 0
        self.failures = 0
        self.latency_s: float | None = None
        self.first_s: float | None = None
        self.last_error = ""
        self.quality: float | None = None
        self._share = 0.0
        self._at = 0.0
        self._monotonic = monotonic

    @property
    def failure_share(self) -> float:
        """The share of calls that failed lately; it sinks by itself."""
        if not self._share:
            return 0.0
        return self._share * 0.5 ** ((self._monotonic() - self._at) / HALF_LIFE_S)

    @property
    def speed(self) -> float | None:
        """How long it takes to say something: a stream's first piece, or a whole answer where nobody streams."""
        return self.latency_s if self.first_s is None else self.first_s

    @property
    def is_well(self) -> bool:
        """Whether most calls succeed, or it is time to try again."""
        return self._share < ILL or self.failure_share < ILL

    def note_answer(self, seconds: float) -> None:
        """Note that a whole answer took so long."""
        self.latency_s = _blend(self.latency_s, seconds)
        self.note_good()

    def note_first(self, seconds: float) -> None:
        """Note that a stream's first piece took so long."""
        self.first_s = _blend(self.first_s, seconds)

    def note_good(self) -> None:
        """Note a call that succeeded."""
        self.calls += 1
        if self._share:
            self._share = self.failure_share * (1 - WEIGHT)
            self._at = self._monotonic()
            if self._share < 0.001:
                self._share = 0.0

    def note_bad(self, code: str) -> None:
        """Note a call that failed by the provider's fault."""
        self.calls += 1
        self.failures += 1
        self.last_error = code
        self._share = self.failure_share * (1 - WEIGHT) + WEIGHT
        self._at = self._monotonic()

    def rate(self, score: float) -> None:
        """Note how good an answer was, 0 to 1."""
        self.quality = _blend(self.quality, min(1.0, max(0.0, score)))

    def build_report(
        self, *, credentials: tuple[CredentialReport, ...] = (), in_flight: int = 0, waiting: int = 0
    ) -> TargetHealth:
        """Describe how the model stands."""
        breakers = [one.breaker for one in credentials if one.breaker is not None]
        is_down = bool(breakers) and all(one.state == "open" for one in breakers)
        return TargetHealth(
            model=self.name,
            state="down" if is_down else "well" if self.is_well else "ill",
            latency_s=self.latency_s,
            first_s=self.first_s,
            failure_share=self.failure_share,
            calls=self.calls,
            failures=self.failures,
            last_error=self.last_error,
            quality=self.quality,
            in_flight=in_flight,
            waiting=waiting,
            credentials=credentials,
        )


def _blend(before: float | None, new: float) -> float:
    return new if before is None else before + WEIGHT * (new - before)
