"""Which runs are left where they are, as their tenants may not work at the moment?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quorate.clock import Clock
from quorate.errors import Forbidden, Unauthenticated
from quorate.events import RunSummary

AGAIN_S = 5.0
"""After how many seconds it is asked again whether a tenant may work."""
MAX_RUNS = 10_000


class Barred:
    """The runs of suspended and deleted tenants, which keep no others waiting however many they are.

    Args:
        check: Returns if a tenant may work; raises `Forbidden` or `Unauthenticated` if it may not.
        clock: What durations are measured by.
    """

    def __init__(self, check: Callable[[str], Awaitable[object]], *, clock: Clock) -> None:
        self.runs: dict[str, str] = {}
        """The tenants of those that were seen, by run."""
        self._check = check
        self._clock = clock
        self._until: dict[str, float] = {}
        """When a tenant is asked about again."""

    def bar(self, summary: RunSummary) -> None:
        """Leave all runs of a tenant."""
        self._until[summary.tenant] = self._clock.monotonic() + AGAIN_S
        self._keep(summary)

    def holds(self, summary: RunSummary) -> bool:
        """Whether a run is one of those; from then on it is known."""
        if summary.tenant not in self._until:
            return False
        self._keep(summary)
        return True

    async def look(self) -> None:
        """Ask about tenants again whose time has come; the runs of those that may work again are taken like others.

        Raises:
            Unavailable: Nobody can be asked.
        """
        now = self._clock.monotonic()
        for tenant in [tenant for tenant, until in self._until.items() if until <= now]:
            try:
                await self._check(tenant)
            except (Forbidden, Unauthenticated):
                self._until[tenant] = now + AGAIN_S
            else:
                del self._until[tenant]
                self.runs = {run: whose for run, whose in self.runs.items() if whose != tenant}

    def _keep(self, summary: RunSummary) -> None:
        if len(self.runs) >= MAX_RUNS:
            del self.runs[next(iter(self.runs))]
        self.runs[summary.run] = summary.tenant
