"""How is one route described, by what its function takes and returns?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Annotated, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation
from litestar.params import BodyKwarg, HeaderParameter, KwargDefinition, ParameterKwarg, PathParameter
from litestar.response.base import ASGIResponse

from quorate.security.identity import Need
from quorate.server.access import NEED
from quorate.server.described import REFUSALS, describe_refusal
from quorate.server.gate import Handle
from quorate.server.idempotency import REPEATED
from quorate.server.parameters import Parameter, read_parameters, split_union
from quorate.server.protocols import PROTOCOLS, Dialect
from quorate.server.schemas import Schema, Types
from quorate.server.streams import EventStream
from quorate.server.versions import VERSION

JSON = "application/json"
EVENTS = "text/event-stream"
EVERYWHERE = frozenset({400, 401, 403, 429, 503})
"""How every route may refuse that is not for everybody."""
OF_DOORS = (400, 401, 402, 403, 404, 409, 413, 415, 429, 502, 503, 504, 507)
"""How doors of other protocols may refuse, in the words of those."""
PHRASES: Mapping[int, str] = {
    200: "Done.",
    201: "It was made.",
    202: "It was accepted, and goes on.",
    204: "Done; there is nothing to tell.",
    304: "It is what its reader has already.",
}
NEEDS = "x-quorate-needs"
"""Where an operation says which right it needs."""
STRING: Schema = {"type": "string"}
RESPONSE_HEADERS: Mapping[str, Schema] = {
    "X-Request-ID": {"description": "Names this request in logs; the caller's own name for it, if there was one.",
                     "schema": STRING},
    "Quorate-Version": {"description": "Which version of the interface answered.",
                        "schema": {"type": "string", "const": VERSION}},
    "ETag": {"description": "Changes whenever what was read does.", "schema": STRING},
    "Location": {"description": "The path of what was made.", "schema": STRING},
    "Retry-After": {"description": "After how many seconds to come again.", "schema": {"type": "integer"}},
    "RateLimit": {"description": "What is left of the quotas of requests, where there are some.", "schema": STRING},
    "RateLimit-Policy": {"description": "Those quotas.", "schema": STRING},
    "WWW-Authenticate": {"description": "How to prove who one is.", "schema": STRING},
    REPEATED: {"description": "`true` where the same request with the same key was answered before.",
               "schema": {"type": "string", "const": "true"}},
}  # fmt: skip


class Operations:
    """Describes routes, one after the other; what their types are is known once all of them are described."""

    def __init__(self) -> None:
        self.types = Types()
        self.tags: dict[str, None] = {}
        self._ids: set[str] = set()

    def describe(self, handler: HTTPRouteHandler, method: str) -> Schema:
        """Describe what answers one method of one path."""
        parameters = read_parameters(handler)
        described: Schema = {
            "operationId": self._name(handler.handler_name, method),
            "summary": handler.summary or handler.handler_name,
            "description": inspect.cleandoc(handler.fn.__doc__ or ""),
            "tags": self._note(handler.resolve_tags()),
            "parameters": [
                *(self._write_parameter(one) for one in parameters if isinstance(one.kwarg, ParameterKwarg)),
                {"$ref": "#/components/parameters/RequestID"},
            ],
        }
        body = self._find_body(handler, parameters)
        if body is not None:
            described["requestBody"] = body
        described["responses"] = self._list_responses(handler, parameters, method=method, has_body=body is not None)
        if handler.deprecated:
            described["deprecated"] = True
        return _mark(described, handler.opt.get(NEED))

    def describe_door(self, handle: Handle, method: str, path: str, *, tag: str, needed: Need) -> Schema:
        """Describe what answers in the words of another protocol."""
        name = f"{tag}_{getattr(handle, '__name__', 'answer').strip('_')}"
        told = PROTOCOLS.get((method, path), Dialect())
        ids = [piece[1:].partition(":")[0] for piece in path.split("/") if piece.startswith("{")]
        success: Schema = {JSON: {"schema": {"type": "object"}}}
        if told.streams:
            success[EVENTS] = {"schema": STRING}
        described: Schema = {
            "operationId": self._name(name, method),
            "summary": told.summary or f"Answer `{path}`",
            "description": told.description or inspect.cleandoc(handle.__doc__ or ""),
            "tags": self._note((tag,)),
            "parameters": [
                *({"name": one, "in": "path", "required": True, "schema": STRING} for one in ids),
                {"$ref": "#/components/parameters/RequestID"},
            ],
            "responses": {
                "200": {"description": "Done.", "content": success, "headers": _list_headers(200)},
                **{str(status): refer_to(status, "Foreign") for status in OF_DOORS},
            },
        }
        if method == "POST" and told.has_body:
            schema = {"type": "object"} if told.takes is None else self.types.write(told.takes)
            described["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
        return _mark(described, needed)

    def _name(self, name: str, method: str) -> str:
        """Name an operation as its function is called; a further one of that name bears its method, or a number."""
        wanted, count = name, 1
        while wanted in self._ids:
            count += 1
            wanted = f"{name}_{method.lower()}" if count == 2 else f"{name}_{count}"
        self._ids.add(wanted)
        return wanted

    def _note(self, tags: Iterable[str]) -> list[str]:
        found = sorted(tags)
        self.tags.update(dict.fromkeys(found))
        return found

    def _find_body(self, handler: HTTPRouteHandler, parameters: Iterable[Parameter]) -> Schema | None:
        """Write what is sent, if anything is."""
        for one in parameters:
            if isinstance(one.kwarg, BodyKwarg):
                schema = self._write_kinds(one.kinds)
                return {"required": not one.is_optional, "content": {JSON: {"schema": schema}}}
        if handler.operation_class is Operation:
            return None
        given = cast("Callable[[], Operation]", handler.operation_class)().request_body  # of a route that reads bytes
        return None if given is None else cast("Schema", given.to_schema())

    def _write_parameter(self, one: Parameter) -> Schema:
        kwarg = cast("ParameterKwarg", one.kwarg)
        is_path = isinstance(kwarg, PathParameter)
        where = "path" if is_path else "header" if isinstance(kwarg, HeaderParameter) else "query"
        written: Schema = {"name": kwarg.name or one.name, "in": where, "required": is_path or not one.is_optional}
        if kwarg.description:
            written["description"] = kwarg.description
        facts: Schema = {}
        if one.is_optional and one.default not in (None, ""):
            facts["default"] = msgspec.to_builtins(one.default)
        bounded = _bound(one.kinds[0] if len(one.kinds) == 1 else Union[one.kinds], kwarg)  # noqa: UP007  # built here
        return {**written, "schema": self.types.write(bounded, **facts)}

    def _write_kinds(self, kinds: Iterable[object]) -> Schema:
        written = [self.types.write(kind) for kind in kinds]
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _list_responses(
        self, handler: HTTPRouteHandler, parameters: Iterable[Parameter], *, method: str, has_body: bool
    ) -> Schema:
        """List all statuses, each with what comes with it."""
        names = {getattr(one.kwarg, "name", None) or one.name for one in parameters}
        success: Schema = {"description": PHRASES.get(handler.status_code, "Done.")}
        content = self._write_answer(handler)
        if content:
            success["content"] = content
        found: dict[int, Schema] = {handler.status_code: success}
        refusals = set(EVERYWHERE) if isinstance(handler.opt.get(NEED), Need) else {400}
        for status, given in (handler.responses or {}).items():
            if status in REFUSALS and given == describe_refusal(status):
                refusals.add(status)
            else:
                found[status] = self._write_given(given)
        if "If-None-Match" in names and method == "GET":
            found.setdefault(304, {"description": PHRASES[304]})
        refusals |= {413, 415} if has_body else set[int]()
        refusals |= {404} if any(isinstance(one.kwarg, PathParameter) for one in parameters) else set[int]()
        refusals |= {507} if method != "GET" else set[int]()
        for status, one in found.items():
            one["headers"] = _list_headers(status, names=names)
        for status in refusals - found.keys():
            found[status] = refer_to(status)
        return {str(status): found[status] for status in sorted(found)}

    def _write_answer(self, handler: HTTPRouteHandler) -> Schema:
        """Write what comes where all is well, by its media types; nothing where nothing does."""
        media_type = _name_media(handler.media_type)
        written: dict[str, list[Schema]] = {}
        for kind in list_answers(handler):
            if kind is EventStream:
                written[EVENTS] = [{"type": "string", "description": "Server-sent events."}]
            elif is_plain(kind):
                written.setdefault(media_type, []).append(dict(STRING))
            else:
                written.setdefault(media_type, []).append(self.types.write(kind))
        return {
            kind: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
            for kind, schemas in written.items()
        }

    def _write_given(self, given: ResponseSpec) -> Schema:
        written: Schema = {"description": given.description}
        kind = cast("object", given.data_container)
        if kind is not None:
            schema = dict(STRING) if is_plain(kind) else self.types.write(kind)
            written["content"] = {_name_media(given.media_type): {"schema": schema}}
        return written

    def write_refusals(self) -> Schema:
        """Write what operations refer to: how all of them refuse, in our own words and in those of other protocols."""
        written: Schema = {}
        for status, said in REFUSALS.items():
            own = self._write_given(describe_refusal(status))
            foreign: Schema = {"description": said, "content": {JSON: {"schema": {"type": "object"}}}}
            for kind, one in (("Refusal", own), ("Foreign", foreign)):
                written[f"{kind}{status}"] = {**one, "headers": _list_headers(status)}
        return written


def refer_to(status: int, kind: str = "Refusal") -> Schema:
    """Refer to how all operations refuse."""
    return {"$ref": f"#/components/responses/{kind}{status}"}


def list_answers(handler: HTTPRouteHandler) -> list[object]:
    """List the types of what a route answers where all is well, without the framework's words around them."""
    found: list[object] = []
    for kind in split_union(get_type_hints(handler.fn, include_extras=True)["return"]):
        plain = get_origin(kind) or kind
        if isinstance(plain, type) and issubclass(plain, EventStream):
            found.append(EventStream)
        elif isinstance(plain, type) and issubclass(plain, Response):
            found += split_union(get_args(kind)[0]) if get_args(kind) else [bytes]
        elif not (isinstance(plain, type) and issubclass(plain, ASGIResponse)):
            found.append(kind)
    return [kind for kind in found if kind not in (None, NoneType)]


def is_plain(kind: object) -> bool:
    """Whether an answer of a type is written as it is, and not as JSON."""
    return kind is bytes or kind is str


def _bound(kind: object, kwarg: KwargDefinition) -> object:
    """Bound a type as its parameter is."""
    lengths = {"min_length": kwarg.min_length or kwarg.min_items, "max_length": kwarg.max_length or kwarg.max_items}
    numbers = {"ge": kwarg.ge, "gt": kwarg.gt, "le": kwarg.le, "lt": kwarg.lt, "multiple_of": kwarg.multiple_of}
    bounds = {
        name: value for name, value in {**lengths, **numbers, "pattern": kwarg.pattern}.items() if value is not None
    }
    return Annotated[kind, msgspec.Meta(**bounds)] if bounds else kind  # type: ignore[arg-type, valid-type]


def _name_media(given: object) -> str:
    """Name the kind of an answer; bytes may be of any, which is that of what they were saved as."""
    name = str(getattr(given, "value", given) or JSON)
    return "*/*" if name == "application/octet-stream" else name


def _list_headers(status: int, *, names: Iterable[str] = ()) -> Schema:
    """List the headers that come with an answer."""
    listed = ["X-Request-ID", "Quorate-Version"]
    if status == 401:
        listed.append("WWW-Authenticate")
    if status == 429:
        listed += ["RateLimit", "RateLimit-Policy"]
    if status in (429, 502, 503, 504, 507):
        listed.append("Retry-After")
    if status in (201, 202):
        listed.append("Location")
    if status < 400 and {"If-Match", "If-None-Match"} & set(names):
        listed.append("ETag")
    if status < 300 and "Idempotency-Key" in names:
        listed.append(REPEATED)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in listed}


def _mark(described: Schema, needed: object) -> Schema:
    """Say which right an operation needs."""
    if isinstance(needed, Need):
        return {**described, NEEDS: str(needed)}
    return {**described, "security": []}
