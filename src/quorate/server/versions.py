"""Which version of the interface answers, and how is it said that a part of it will go?

A version is a part of every path (`/v1`). What is to go from it says so with every answer for as long as it is there:
since when (`Deprecation`, RFC 9745), until when (`Sunset`, RFC 8594), and what to use instead (`Link`, RFC 8288).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import cast

from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Scope
from msgspec import Struct

VERSION = "v1"
HEADER = "quorate-version"
"""The header that says which version answered."""
DEPRECATED = "deprecated"
"""Under which name a route says that it will go."""


class Deprecation(Struct, frozen=True, kw_only=True):
    """That something will go."""

    since: datetime
    """From when on nobody should begin to use it."""
    until: datetime
    """Until when it is there at least."""
    instead: str
    """The path of what to use instead."""
    page: str = ""
    """Where it is told what changes."""


def deprecate(since: str, *, until: str, instead: str, page: str = "") -> dict[str, object]:
    """Say that a route will go; it goes into the `opt` of the route, and `deprecated=True` beside it.

    Args:
        since: From which day on (UTC) nobody should begin to use it, such as `2027-01-31`.
        until: Until which day it is there at least.
        instead: The path of what to use instead.
        page: Where it is told what changes.
    """
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (since, until))
    return {DEPRECATED: Deprecation(since=first, until=last, instead=instead, page=page)}


def build_headers(told: Deprecation) -> dict[str, str]:
    """Build the headers by which every answer says that something will go."""
    links = [f'<{told.instead}>; rel="successor-version"']
    if told.page:
        links.append(f'<{told.page}>; rel="deprecation"; type="text/html"')
    return {
        "Deprecation": f"@{int(told.since.timestamp())}",
        "Sunset": format_datetime(told.until, usegmt=True),
        "Link": ", ".join(links),
    }


async def mark(message: Message, scope: Scope) -> None:
    """Add to an answer of the framework that its route will go, where it says so."""
    if message["type"] != "http.response.start":
        return
    found = cast("Mapping[str, object]", scope).get("route_handler")  # there is none where no route was found
    told = found.opt.get(DEPRECATED) if isinstance(found, BaseRouteHandler) else None
    if isinstance(told, Deprecation):
        more = [(name.lower().encode(), value.encode()) for name, value in build_headers(told).items()]
        message["headers"] = [*message.get("headers", ()), *more]
