"""Who did what, who was refused what, and is that record still what was written?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromQuery, QueryParameter
from litestar.router import Router
from msgspec import Meta, Struct

from quorate.errors import DeadlineExceeded, InvalidInput
from quorate.server.access import need
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.views import Page
from quorate.state.audit import AuditFilter, AuditHead, AuditReport, AuditRow, Outcome
from quorate.state.audit.row import encode_row

MEDIA_TYPE = "application/x-ndjson"
READ_S = 30.0
"""How long one answer may be looked for; a trail may be longer than anybody waits."""
MOST_EXPORTED = 5_000
"""How many rows one answer of an export has."""
MOST_BYTES = 8 << 20
PAGE = 500
ANCHOR = "^([0-9]{1,15}):((?:hmac-)?sha256:[0-9a-f]{64})$"
Word = Annotated[str, QueryParameter(max_length=200)]
Who = Annotated[str, QueryParameter(max_length=200, description="Only what somebody did.")]
What = Annotated[
    str, QueryParameter(max_length=200, description="Only such acts: `run.cancel`, or `run` for all about runs.")
]
Thing = Annotated[
    str, QueryParameter(max_length=400, description="Only what was done to something: `run/run-1`, or `run` for all.")
]
Moment = Annotated[float | None, QueryParameter(ge=0, le=1e11, description="Seconds since 1970 (UTC).")]
Place = Annotated[int | None, QueryParameter(ge=0, le=10**15, description="What `next_cursor` was.")]


class AuditView(Struct, frozen=True, kw_only=True, tag_field="kind", tag="audit.row"):
    """That somebody did something, or was refused."""

    seq: int
    """The place in the tenant's chain: 1, 2, 3 … without a gap."""
    time: float
    principal: str
    action: Annotated[str, Meta(examples=["run.cancel"])]
    """What was done."""
    object: Annotated[str, Meta(examples=["run/run-1"])]
    """What it was done to."""
    outcome: Outcome
    reason: str
    facts: dict[str, str | int | float | bool | None]
    hash: str
    """Over the row and the hash of the one before."""


class Fault(Struct, frozen=True, kw_only=True):
    """The first row that is not as it was written."""

    seq: int
    kind: str
    message: str


class Verification(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="audit.verification"):
    """What came of looking at a whole trail."""

    ok: bool
    rows: int
    """How many rows verify, from the first on."""
    unchecked: int
    """How many of them were made with a key that this server has not: their order alone was looked at."""
    anchor: str | None = None
    """Where the part that verifies ends: keep it elsewhere, and give it as `anchor` next time."""
    fault: Fault | None = None


@get("/audit", opt=need("audit", "read"), summary="List who did what", responses=refuses(504))
async def list_rows(
    request: Asked,
    principal: Who = "",
    action: What = "",
    object: Thing = "",
    outcome: FromQuery[Outcome | None] = None,
    since: Moment = None,
    before: Moment = None,
    order: FromQuery[Literal["newest", "oldest"]] = "newest",
    cursor: Place = None,
    limit: Limit = 50,
) -> Page[AuditView]:
    """List the acts of the caller's tenant that were done or refused and fit all that is given, a page at a time."""
    trail = find_runtime(request).audit
    match = AuditFilter(principal=principal, action=action, object=object, outcome=outcome, since=since, before=before)
    async with _bounded():
        if order == "oldest":
            found = await trail.read(after=cursor or 0, limit=limit + 1, match=match)
        else:
            found = (await trail.read_last(limit=limit + 1, match=match, below=cursor))[::-1]
    page = found[:limit]
    return Page(data=[view_row(row) for row in page], next_cursor=str(page[-1].seq) if len(found) > limit else None)


@get("/audit/verification", opt=need("audit", "read"), summary="Check the record", responses=refuses(504))
async def verify(
    request: Asked,
    anchor: Annotated[
        str | None,
        QueryParameter(max_length=120, pattern=ANCHOR, description="What an earlier check gave, kept elsewhere."),
    ] = None,
) -> Verification:
    """Check every row of the caller's tenant from the first on, and name the first that is not as it was written."""
    noted = None
    if anchor is not None:
        match = re.fullmatch(ANCHOR, anchor)
        if match is None:
            raise InvalidInput("`anchor` is none: give what an earlier check said.")
        noted = AuditHead(seq=int(match[1]), hash=match[2])
    async with _bounded():
        report = await find_runtime(request).audit.verify(anchor=noted)
    return view_report(report)


@get("/audit/export", opt=need("audit", "read"), summary="Export the record", media_type=MEDIA_TYPE,
     responses=refuses(504))  # fmt: skip
async def export(
    request: Asked,
    principal: Who = "",
    action: What = "",
    object: Thing = "",
    outcome: FromQuery[Outcome | None] = None,
    since: Moment = None,
    before: Moment = None,
    after: Annotated[int, QueryParameter(ge=0, le=10**15, description="From behind this row on.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_EXPORTED, description="How many rows at most.")] = MOST_EXPORTED,
) -> Response[bytes]:
    """Write rows as lines of JSON, oldest first, exactly as they are stored, so that each can be checked by its hash.

    An answer has some thousand rows at most. While there may be more, its header `Link` says where they are
    (`rel="next"`).
    """
    trail = find_runtime(request).audit
    match = AuditFilter(principal=principal, action=action, object=object, outcome=outcome, since=since, before=before)
    lines, size, place, count = list[bytes](), 0, after, 0
    async with _bounded():
        while count < limit and size < MOST_BYTES:
            rows = await trail.read(after=place, limit=min(PAGE, limit - count), match=match)
            if not rows:
                place = 0
                break
            piece = b"".join(encode_row(row) + b"\n" for row in rows)
            lines.append(piece)
            size, place, count = size + len(piece), rows[-1].seq, count + len(rows)
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    if place and lines:
        asked = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        headers["Link"] = f'</v1/audit/export?{urlencode([*asked, ("after", place)])}>; rel="next"'
    return Response(b"".join(lines), media_type=MEDIA_TYPE, headers=headers)


def view_row(row: AuditRow) -> AuditView:
    """Build what callers read of a row."""
    return AuditView(
        seq=row.seq,
        time=row.time,
        principal=row.principal,
        action=row.action,
        object=row.object,
        outcome=row.outcome,
        reason=row.reason,
        facts=row.facts,
        hash=row.hash,
    )


def view_report(report: AuditReport) -> Verification:
    """Build what callers read of a check."""
    fault = report.fault
    return Verification(
        ok=report.ok,
        rows=report.rows,
        unchecked=report.unchecked,
        anchor=None if report.head is None or not report.rows else str(report.head),
        fault=None if fault is None else Fault(seq=fault.seq, kind=fault.kind, message=fault.message),
    )


@asynccontextmanager
async def _bounded() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(READ_S):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The audit trail is too long to look at all of it within {READ_S:g} s here: ask for less at once, or use "
            "`quorate audit` beside the database."
        ) from error


def build_router() -> Router:
    """Build the routes about the audit trail."""
    return Router("/v1", route_handlers=[list_rows, verify, export], tags=["audit"])
