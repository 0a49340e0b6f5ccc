"""What is known of a tenant and its quotas, put so that a request, a run or a call finds at once what it counts in?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from quorate.models.budgets.rules import KEPT_S, Cap, write_stamp
from quorate.models.cost import NANO
from quorate.models.limits.rules import Claim
from quorate.models.limits.shares import lengthen
from quorate.security.quotas import SECONDS, TENANT, Quota, QuotaKind, QuotaTable, list_subjects, name_subject
from quorate.security.tenants import Tenant

Place = TypeVar("Place")
T = TypeVar("T")
DAY_S = 86_400.0
MAX_PAYERS = 10_000
Spent = Literal["day", "month", "total"]
SPENT: Mapping[str, Spent] = {"day": "day", "month": "month", "total": "total"}


class TenantFacts:
    """A tenant as it was when it was read, with what follows from its quotas for each project and key.

    Args:
        id: The tenant.
        tenant: What is registered of it; nothing for one that is not.
        table: Its quotas.
    """

    __slots__ = ("_caps", "_claims", "_of_payer", "changed", "has_caps", "has_claims", "has_runs", "id", "most_bytes",
                 "table", "tenant")  # fmt: skip

    def __init__(self, id: str, *, tenant: Tenant | None, table: QuotaTable) -> None:
        self.id = id
        self.tenant = tenant
        self.table = table
        self.changed = table.changed
        kinds = {quota.kind for quotas in table.subjects.values() for quota in quotas}
        self.has_claims = "requests" in kinds
        self.has_runs = "runs" in kinds
        self.has_caps = bool(kinds & {"tokens", "usd"})
        self.most_bytes: int | None = next((int(one.most) for one in self.find(TENANT, "bytes")), None)
        """How many bytes of artifacts it may have."""
        self._claims = {
            subject: tuple(build_claim(id, subject, quota) for quota in self.find(subject, "requests"))
            for subject in table.subjects
        }
        self._of_payer: dict[str, tuple[Claim, ...]] = {}
        self._caps: dict[tuple[str, float], tuple[Cap, ...]] = {}

    def find(self, subject: str, kind: QuotaKind) -> tuple[Quota, ...]:
        """Find the quotas of one kind for the tenant, a project or a key."""
        return tuple(quota for quota in self.table.subjects.get(subject, ()) if quota.kind == kind)

    def find_claims(self, payer: str) -> tuple[Claim, ...]:
        """Find the windows that a request counts in, the narrowest first."""
        found = self._of_payer.get(payer)
        if found is None:
            subjects = list_subjects(*split_payer(payer))
            found = tuple(claim for subject in subjects for claim in self._claims.get(subject, ()))
            _keep(self._of_payer, payer, found)
        return found

    def find_caps(self, payer: str, *, now: float) -> tuple[Cap, ...]:
        """Find the budgets that a call draws on at a moment."""
        place = payer, now // DAY_S
        found = self._caps.get(place)
        if found is None:
            subjects = list_subjects(*split_payer(payer))
            found = tuple(
                build_cap(self.id, subject, quota, now=now)
                for subject in subjects
                for quota in self.table.subjects.get(subject, ())
                if quota.kind in ("tokens", "usd")
            )
            _keep(self._caps, place, found)
        return found

    def find_runs(self, payer: str) -> tuple[tuple[str, Quota], ...]:
        """Find how many runs there may be at once, and for whom; nothing where nothing bounds them."""
        if not self.has_runs:
            return ()
        subjects = list_subjects(*split_payer(payer))
        return tuple((subject, quota) for subject in subjects for quota in self.find(subject, "runs"))


def split_payer(payer: str) -> tuple[str, str]:
    """Split what says who pays into a project and a key; either may be empty."""
    project, _, key = payer.partition("/")
    return project, key


def build_claim(tenant: str, subject: str, quota: Quota) -> Claim:
    """Build what a request wants in the window of a quota; its key stays when the amount is changed."""
    return Claim(
        key=f"quotas/rate/{tenant}/{subject or 'tenant'}/{quota.per}",
        limit=quota.name,
        scope="key" if subject else "tenant",
        value=name_subject(subject, tenant),
        requests=int(quota.most),
        tokens=None,
        per_s=lengthen(SECONDS[quota.per]),
        max_wait_s=0.0,
    )


def build_cap(tenant: str, subject: str, quota: Quota, *, now: float) -> Cap:
    """Build the budget that stands for a quota on a day or in a month; its key stays when the amount is changed."""
    kind, _, name = subject.partition("/")
    period = SPENT[quota.per]
    return Cap(
        key=f"quotas/spent/{tenant}/{subject or 'tenant'}/{quota.kind}/{write_stamp(period, now)}",
        budget=quota.name,
        scope="tenant" if not subject else ("key" if kind == "key" else "project"),
        value=f"{tenant}/{name}" if subject else tenant,
        period=period,
        usd=round(quota.most * NANO) if quota.kind == "usd" else None,
        tokens=int(quota.most) if quota.kind == "tokens" else None,
        ttl_s=KEPT_S.get(quota.per),
    )


def _keep(held: dict[Place, T], place: Place, value: T) -> None:
    if len(held) >= MAX_PAYERS:
        held.clear()
    held[place] = value
