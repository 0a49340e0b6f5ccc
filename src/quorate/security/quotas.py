"""How much may a tenant, a project of it and a key use, and where is that written?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from quorate.errors import Conflict, CorruptState, InvalidInput
from quorate.ids import check_id
from quorate.ports import KeyValue

QuotaKind = Literal["requests", "tokens", "usd", "runs", "bytes"]
"""Requests over HTTP, tokens of models, dollars for them, runs at once, and bytes of artifacts."""
QuotaPeriod = Literal["second", "minute", "hour", "day", "month", "total", "now"]
PERIODS: Mapping[QuotaKind, tuple[QuotaPeriod, ...]] = {
    "requests": ("second", "minute", "hour", "day"),
    "tokens": ("day", "month", "total"),
    "usd": ("day", "month", "total"),
    "runs": ("now",),
    "bytes": ("now",),
}
"""In what each may be counted: windows that slide for requests; days and months of UTC, or for ever, for spending."""
SECONDS: Mapping[QuotaPeriod, float] = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
MAX_MOST = 10**15
MAX_RUNS = 5_000
MAX_SUBJECTS = 2_000
"""For how many projects and keys of one tenant there may be quotas."""
TRIES = 20
TENANT = ""
"""Whose quotas are those of the whole tenant."""


class Quota(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So much of something, and no more."""

    kind: QuotaKind
    most: Annotated[float, Meta(ge=0, le=MAX_MOST, examples=[600])]
    """How much; nothing at all when it is 0."""
    per: QuotaPeriod
    """In what time; `now` for what there is at once."""

    @property
    def name(self) -> str:
        """What it is called, such as `requests-minute`."""
        return f"{self.kind}-{self.per}"


class QuotaTable(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All quotas of a tenant: its own under `""`, others under `project/NAME` and `key/ID`."""

    subjects: dict[str, tuple[Quota, ...]] = {}
    changed: float = 0.0
    """The store's wall time of the last change."""
    revision: int = 0


class QuotaBook:
    """The quotas of all tenants, in the store that all processes share.

    Args:
        values: Where they are kept.
    """

    def __init__(self, values: KeyValue) -> None:
        self._values = values

    async def read(self, tenant: str) -> QuotaTable:
        """Return a tenant's quotas; none where nobody set any.

        Raises:
            CorruptState: They do not read, so that nothing may be used.
        """
        entry = await self._values.get(_build_place(tenant))
        if entry is None:
            return QuotaTable()
        try:
            table = msgspec.json.decode(entry.value, type=QuotaTable)
        except msgspec.DecodeError as error:
            raise CorruptState(f"The quotas of {tenant!r} do not read, so that nothing may be used.") from error
        return structs.replace(table, changed=entry.updated, revision=entry.revision)

    async def set(
        self, tenant: str, subject: str, quotas: Sequence[Quota], *, if_revision: int | None = None
    ) -> QuotaTable:
        """Let these be all quotas of a tenant, a project or a key; none of them bounds it no more.

        Raises:
            InvalidInput: One makes no sense, or two count the same.
            Conflict: The tenant's quotas are not what they were at that revision.
        """
        check_id(tenant, "tenant")
        chosen = check_quotas(check_subject(subject), quotas)
        for _ in range(TRIES):
            table = await self.read(tenant)
            if if_revision is not None and table.revision != if_revision:
                raise Conflict(f"The quotas of {tenant!r} were changed since they were read: read them again.")
            subjects = {**table.subjects, subject: chosen}
            if not chosen:
                del subjects[subject]
            if len(subjects) > MAX_SUBJECTS:
                raise InvalidInput(f"a tenant may have quotas for {MAX_SUBJECTS} projects and keys: clear some first.")
            body = msgspec.json.encode(QuotaTable(subjects=subjects))
            try:
                entry = await self._values.put(_build_place(tenant), body, if_revision=table.revision)
            except Conflict:
                continue
            return QuotaTable(subjects=subjects, changed=entry.updated, revision=entry.revision)
        raise Conflict(f"The quotas of {tenant!r} change too fast: others were quicker {TRIES} times.")


def check_subject(subject: str) -> str:
    """Return whose quotas are meant if it can be somebody: `""`, `project/NAME` or `key/ID`.

    Raises:
        InvalidInput: It cannot.
    """
    kind, _, name = subject.partition("/")
    if subject == TENANT:
        return subject
    if kind not in ("project", "key"):
        raise InvalidInput(f"{subject[:80]!r} has no quotas: give a project (`project/NAME`) or a key (`key/ID`).")
    check_id(name, kind)
    return subject


def check_quotas(subject: str, quotas: Sequence[Quota]) -> tuple[Quota, ...]:
    """Return quotas in order if they make sense together; all faults are told at once.

    Raises:
        InvalidInput: They do not.
    """
    faults, seen = list[str](), set[str]()
    for quota in quotas:
        periods = PERIODS[quota.kind]
        if quota.per not in periods:
            faults.append(f"`{quota.kind}` are counted per {' or '.join(periods)}, not per {quota.per}")
        if not math.isfinite(quota.most) or not 0 <= quota.most <= MAX_MOST:
            faults.append(f"`{quota.name}` of {quota.most!r} is no amount")
        elif quota.kind != "usd" and quota.most != int(quota.most):
            faults.append(f"`{quota.name}` of {quota.most!r} is no whole number")
        elif quota.kind == "runs" and quota.most > MAX_RUNS:
            faults.append(f"`{quota.name}` of {quota.most:g} is above {MAX_RUNS}, up to which runs at once are counted")
        if quota.kind == "bytes" and subject != TENANT:
            faults.append("`bytes` are counted for the whole tenant alone")
        if quota.name in seen:
            faults.append(f"`{quota.name}` is there twice")
        seen.add(quota.name)
    if faults:
        raise InvalidInput(f"These quotas do not hold together: {'; '.join(faults)}.")
    return tuple(sorted(quotas, key=lambda quota: quota.name))


def list_subjects(project: str, key: str) -> tuple[str, ...]:
    """List whose quotas something counts in, the narrowest first."""
    subjects = (f"key/{key}" if key else "", f"project/{project}" if project else "")
    return (*(one for one in subjects if one), TENANT)


def write_amount(quota: Quota) -> str:
    """Write how much a quota is, to the last token."""
    return f"{quota.most:.9f}".rstrip("0").rstrip(".") if quota.kind == "usd" else f"{int(quota.most)}"


def name_subject(subject: str, tenant: str) -> str:
    """Say whose a quota is, for people."""
    kind, _, name = subject.partition("/")
    return f"{kind} {name!r}" if subject else f"tenant {tenant!r}"


def _build_place(tenant: str) -> str:
    return f"quotas/table/{tenant}"
