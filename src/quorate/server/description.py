"""How does the server describe all that it answers (OpenAPI 3.1)?

The document is built from the routes themselves: their parameters, bodies and answers are the types that requests are
read into and answers are written from, so that it says what is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import cast

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct

from quorate.server.gate import Routes
from quorate.server.operations import RESPONSE_HEADERS, Operations
from quorate.server.schemas import Schema, build_example

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ID = re.compile(r":(?:str|path)}")
ABOUT = """Runs of agents: recorded, resumable, bounded.

Send an API key with every request: `Authorization: Bearer qk_…`. `quorate keys create` makes the first one, and
`POST /v1/keys` others. What each route needs is said as `area:verb`; a key has it by its role, within its scopes.

Errors are `application/problem+json` (RFC 9457) with a `code` for programs and a `request_id` to quote. Lists come in
pages: give `next_cursor` of one as `cursor` of the next. Whatever has an `ETag` can be read with `If-None-Match` and
changed with `If-Match`. Whatever is made takes an `Idempotency-Key`, and is made once for it.
"""
TAGS: Mapping[str, str] = {
    "runs": "Tasks given to agents, and what became of them.",
    "approvals": "What runs ask of people before they go on.",
    "decisions": "Questions put to the vote among agents and people, and the records of that.",
    "replays": "Runs made again from their record, the same or with something changed.",
    "query": "A question answered by an agent, by what was read, or by both.",
    "sessions": "Conversations over several runs.",
    "state": "Values that agents and programs keep.",
    "artifacts": "Bytes that runs made or were given.",
    "feedback": "What people thought of answers.",
    "schedules": "Tasks that are begun by the clock.",
    "webhooks": "Addresses that are told what happens.",
    "agents": "Who there is to do a task.",
    "tools": "What agents may call.",
    "workflows": "Steps and teams of agents that are said in files, and runs of them.",
    "models": "What agents think with: prices, aliases, routes, and how each stands.",
    "costs": "What was used and spent, and what may be.",
    "quotas": "How much tenants, projects and keys may use.",
    "tenants": "Whose data and runs are kept apart.",
    "keys": "API keys: who may do what.",
    "audit": "Who did what, and what was refused, in a chain that can be checked.",
    "telemetry": "Metrics and traces.",
    "upkeep": "What an operator does now and then: exports, and what is old or must be forgotten.",
    "health": "Whether this process lives, and can take requests.",
    "openai": "The protocol of OpenAI, for its own clients.",
    "anthropic": "The protocol of Anthropic, for its own clients.",
    "description": "This document.",
}
"""What each group of routes is about."""


class Door(Struct, frozen=True, kw_only=True):
    """What answers beside the framework."""

    root: str
    """The path that all of its paths begin with."""
    tag: str
    routes: Routes


def build_document(app: Litestar, *, doors: Iterable[Door] = ()) -> Schema:
    """Build the document; it is the same for the same routes.

    Args:
        app: The routes of the framework.
        doors: What answers beside it.
    """
    writer, paths = Operations(), dict[str, dict[str, Schema]]()
    for path, method, handler in sorted(_list_handlers(app), key=lambda one: one[:2]):
        paths.setdefault(path, {})[method.lower()] = writer.describe(handler, method)
    for door in doors:
        for (method, path), (needed, handle) in door.routes.items():
            place = paths.setdefault(f"{door.root}{_ID.sub('}', path)}", {})
            place[method.lower()] = writer.describe_door(
                handle, method, f"{door.root}{path}", tag=door.tag, needed=needed
            )
    refusals = writer.write_refusals()
    components = writer.types.finish()
    _add_examples(paths, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Quorate",
            "version": version("quorate"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": TAGS.get(name, "")} for name in sorted(writer.tags)],
        "paths": {path: dict(sorted(operations.items(), key=_order)) for path, operations in sorted(paths.items())},
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": refusals,
            "headers": dict(RESPONSE_HEADERS),
            "parameters": {"RequestID": REQUEST_ID},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _list_handlers(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """List what answers, by path and method."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if handler.resolve_include_in_schema():
                for method in handler.http_methods & set(METHODS):
                    yield cast("HTTPRoute", route).path_format or "/", method, handler


def _order(one: tuple[str, Schema]) -> int:
    return METHODS.index(one[0].upper())


def _add_examples(paths: Mapping[str, Mapping[str, Schema]], components: Mapping[str, Schema]) -> None:
    """Add to each body what may be sent, and to each answer what may come, where a schema says enough for it."""
    for path in paths.values():
        for operation in path.values():
            body = cast("Schema", operation.get("requestBody", {}))
            answers = cast("Mapping[str, Schema]", operation["responses"])
            given = [body, *(one for status, one in answers.items() if status < "300")]
            for one in given:
                for kind, content in cast("Mapping[str, Schema]", one.get("content", {})).items():
                    if kind == "application/json" and "schema" in content:
                        content["example"] = build_example(cast("Schema", content["schema"]), components)


REQUEST_ID: Schema = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "Names the request in logs and errors; one is made up where it is absent or cannot be written.",
    "schema": {"type": "string"},
}
