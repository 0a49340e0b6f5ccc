"""What does a route take from a request, and is what stands in a query of that kind?"""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import KwargDefinition, ParameterKwarg
from msgspec import Struct

from quorate.errors import InvalidInput


class Parameter(Struct, frozen=True, kw_only=True):
    """What a function takes from a request."""

    name: str
    kinds: tuple[object, ...]
    """The types that it may have, but that of nothing."""
    is_optional: bool
    default: object
    kwarg: KwargDefinition


def read_parameters(handler: BaseRouteHandler) -> list[Parameter]:
    """Read what a route takes from a request, by what its function takes."""
    hints = get_type_hints(handler.fn, include_extras=True)
    found: list[Parameter] = []
    for name, one in inspect.signature(handler.fn).parameters.items():
        kind = hints[name]
        extras = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
        kwarg = next((extra for extra in extras if isinstance(extra, KwargDefinition)), None)
        if kwarg is None:
            continue
        kinds = split_union(get_args(kind)[0])
        found.append(
            Parameter(
                name=name,
                kinds=tuple(kind for kind in kinds if kind is not NoneType),
                is_optional=one.default is not inspect.Parameter.empty or NoneType in kinds,
                default=None if one.default is inspect.Parameter.empty else one.default,
                kwarg=kwarg,
            )
        )
    return found


def split_union(kind: object) -> tuple[object, ...]:
    """Split a type into those that it may be."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def check_query(request: Request[Any, Any, Any]) -> None:
    """Return if no parameter is said to be `null`: the framework would take that for nothing where it is optional.

    Raises:
        InvalidInput: One is, and it does not take any text.
    """
    if b"null" not in request.scope["query_string"].lower():
        return
    given = {name for name, value in request.query_params.multi_items() if str(value).lower() == "null"}
    for one in read_parameters(request.route_handler) if given else ():
        name = one.kwarg.name if isinstance(one.kwarg, ParameterKwarg) and one.kwarg.name else one.name
        if name in given and str not in one.kinds:
            raise InvalidInput(f"`{name}` is said to be `null`, which is none of its values: leave it out.")
