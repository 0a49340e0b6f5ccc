"""Who hears of every request, how long it took and what came of it?"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send, WebSocketScope

from quorate.runtime.watching import Watching
from quorate.server.denial import DENIAL
from quorate.server.edge import REQUEST_ID, find_request_id
from quorate.telemetry.context import SpanContext, parse_traceparent
from quorate.telemetry.place import Place, enter_place
from quorate.telemetry.requests import METHODS, OTHER_METHOD, RequestPlace, RequestRecord

TRACEPARENT = b"traceparent"
ID = REQUEST_ID.encode()
STREAM = b"text/event-stream"
SWITCHED = 101
"""The status of a WebSocket that was let in."""
_KIND = re.compile(r":\w+(?=})", re.ASCII)


class Heard:
    """An ASGI application around another one that tells a listener of each request; it changes nothing of the answer.

    Whatever is done for a request stands below its span: its `traceparent` is put in the place of the one that came,
    and what is logged meanwhile bears its ids.

    Args:
        inner: What answers.
        watching: Who listens; without anybody, what is logged is still told apart by request. Where traces are shown to
            nobody, the `traceparent` that came is handed on as it is.
        now: Wall time.
        monotonic: Time that never goes back.
    """

    def __init__(
        self,
        inner: ASGIApp,
        watching: Watching | None,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inner = inner
        self._watching = watching
        self._now = now
        self._monotonic = monotonic
        self._active: dict[tuple[str, str], int] = {}
        self._streams = 0
        self._routes: dict[str, str] = {}
        if watching is not None:
            watching.look("requests_active", self._look_active)
            watching.look("streams", lambda: [(self._streams, {})])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request be answered, and tell of it once that has ended."""
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        asked = cast("HTTPScope | WebSocketScope", {**scope})
        place, request_id = self._mark(asked)
        visit = _Visit(asked, self._now(), self._monotonic)
        kind = visit.method, visit.scheme
        self._active[kind] = self._active.get(kind, 0) + 1

        async def hear(message: Message) -> None:
            if visit.first_s is None:
                self._streams += visit.hear(message)
            await send(message)

        try:
            with enter_place(Place("", "", place.context, request_id)):
                await self._inner(asked, receive, hear)
        except Exception:  # whoever serves us answers 500 and logs it
            visit.status = visit.status or 500
            raise
        except asyncio.CancelledError:  # we leave, and say so
            visit.status = visit.status or 503
            raise
        finally:
            self._streams -= visit.is_stream
            self._active[kind] -= 1
            if self._watching is not None:
                route = self._name_route(asked)
                self._watching.note_request(visit.end(place, route=route, request_id=request_id))

    def _mark(self, scope: HTTPScope | WebSocketScope) -> tuple[RequestPlace, str]:
        """Give a request its place in a trace and its id, and let whoever is further in find both in its headers."""
        traces, ids, others = list[bytes](), list[bytes](), list[tuple[bytes, bytes]]()
        for pair in scope["headers"]:
            name = pair[0].lower()
            if name == TRACEPARENT:
                traces.append(pair[1])
            elif name == ID:
                ids.append(pair[1])
            else:
                others.append(pair)
        # Of two, nobody knows which one is meant.
        header = traces[0].decode("latin-1") if len(traces) == 1 else ""
        request_id = find_request_id(ids[0].decode("latin-1") if len(ids) == 1 else "")
        others.append((ID, request_id.encode()))
        if self._watching is not None and self._watching.shows_traces:
            place = self._watching.open_request(header)
            others.append((TRACEPARENT, place.context.traceparent.encode()))
        else:
            asked = parse_traceparent(header)
            place = RequestPlace(asked or SpanContext(os.urandom(16).hex(), os.urandom(8).hex(), is_sampled=False))
            others += [(TRACEPARENT, value) for value in traces]
        scope["headers"] = others
        return place, request_id

    def _name_route(self, scope: HTTPScope | WebSocketScope) -> str:
        """Name the route as it is declared; there are as many as we declared."""
        template = str(cast("dict[str, object]", scope).get("path_template") or "")
        if template not in self._routes:
            self._routes[template] = _KIND.sub("", template)
        return self._routes[template]

    def _look_active(self) -> Iterator[tuple[float, dict[str, str]]]:
        for (method, scheme), count in self._active.copy().items():  # requests come meanwhile
            yield count, {"method": method, "scheme": scheme}


class _Visit:
    """A request that is being answered."""

    __slots__ = ("_began", "_monotonic", "_started", "first_s", "is_stream", "method", "scheme", "status")

    def __init__(self, scope: HTTPScope | WebSocketScope, began: float, monotonic: Callable[[], float]) -> None:
        method = scope["method"] if scope["type"] == "http" else "GET"
        self.method = str(method) if method in METHODS else OTHER_METHOD
        self.scheme = scope["scheme"]
        self.status = 0
        self.first_s: float | None = None
        self.is_stream = False
        self._began = began
        self._monotonic = monotonic
        self._started = monotonic()

    def hear(self, message: Message) -> bool:
        """Hear how an answer begins, and say whether it is a stream."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_stream = _is_stream(message["headers"])
        elif message["type"] == "websocket.accept":
            self.status, self.is_stream = SWITCHED, True
        elif message["type"] == "websocket.close":
            self.status = 403
        elif str(message["type"]) == f"{DENIAL}.start":
            self.status = int(cast("Mapping[str, int]", message)["status"])
        else:
            return False
        self.first_s = self._monotonic() - self._started
        return self.is_stream

    def end(self, place: RequestPlace, *, route: str, request_id: str) -> RequestRecord:
        """Say what came of it."""
        return RequestRecord(
            place=place,
            method=self.method,
            route=route,
            status=self.status,
            began=self._began,
            duration_s=self._monotonic() - self._started,
            first_s=self.first_s,
            is_stream=self.is_stream,
            request_id=request_id,
            scheme=self.scheme,
        )


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(STREAM) for name, value in headers)
