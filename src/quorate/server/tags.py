"""Is what somebody wants to change still what they read, and have they read it already (RFC 9110, section 13)?"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec
from litestar import Response
from litestar.params import HeaderParameter

from quorate.errors import Conflict, InvalidInput
from quorate.server.asked import Asked
from quorate.server.problems import Outdated

T = TypeVar("T")
ETAG = "ETag"
MAX_TAGS = 64
"""How many tags one header may list."""
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=1000,
        description="Only if it is still what `ETag` said when it was read; `*` for whatever is there.",
        examples=[],
    ),
]
IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-None-Match",
        max_length=1000,
        description="Only if it is none of these; for reading, 304 without a body when it is. `*`: only if there is "
        "nothing yet.",
        examples=[],
    ),
]
_LIST = re.compile(r'[ \t]*(?:W/)?"[\x21\x23-\x7e]*"[ \t]*(?:,[ \t]*(?:W/)?"[\x21\x23-\x7e]*"[ \t]*)*', re.ASCII)
_ONE = re.compile(r'(W/)?("[\x21\x23-\x7e]*")', re.ASCII)
_encode = msgspec.json.Encoder(order="deterministic").encode


def build_tag(value: object) -> str:
    """Build the strong tag of a thing: from its revision where it is a number, else from everything that it shows."""
    if isinstance(value, int):
        return f'"r{value}"'
    return f'"{sha256(_encode(value)).hexdigest()[:32]}"'


def tag(
    request: Asked,
    view: T,
    *,
    revision: object = None,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[T]:
    """Answer with a thing and its tag, or with 304 where its reader has it already.

    Args:
        request: What is answered.
        view: The thing as it is shown.
        revision: What its tag is built from: its revision in the store, or those of its facts that others may change.
            Without it, everything that it shows.
        status_code: The status of the answer.
        headers: More headers of the answer.
    """
    etag = build_tag(view if revision is None else revision)
    given = {**(headers or {}), ETAG: etag}
    asked = request.headers.get("if-none-match")
    if asked is not None and request.method in ("GET", "HEAD") and is_among(asked, etag, weak=True):
        return Response(None, status_code=304, headers=given)  # type: ignore[arg-type]
    return Response(view, status_code=status_code, headers=given)


def check_match(request: Asked, etag: str | None) -> None:
    """Return if what is there is what a change is meant for, by `If-Match` and `If-None-Match`.

    Args:
        request: What asks for the change.
        etag: The tag of what is there; `None` where there is nothing.

    Raises:
        Outdated: It is something else by now.
        InvalidInput: A header lists no tags.
    """
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted is not None and (etag is None or not is_among(wanted, etag, weak=False)):
        raise Outdated(
            "It was changed since it was read, or is gone: read it again, and send its `ETag` as `If-Match`."
        )
    if unwanted is not None and etag is not None and is_among(unwanted, etag, weak=True):
        raise Outdated("It is there already, as `If-None-Match` does not want it to be: read it, and change that.")


@contextmanager
def matched(request: Asked, etag: str | None) -> Generator[None]:
    """Change something in the block only if it is what a change is meant for.

    Where somebody else is quicker between the look and the change, which the store tells as a conflict, whoever sent
    `If-Match`, or `If-None-Match` for what is not there yet, is told the same as if they had come later.

    Raises:
        Outdated: It is something else by now.
        InvalidInput: A header lists no tags.
    """
    check_match(request, etag)
    try:
        yield
    except Conflict as error:
        is_told = "if-match" in request.headers or (etag is None and "if-none-match" in request.headers)
        if not is_told or isinstance(error, Outdated):
            raise
        raise Outdated(error.message, **error.context) from error


def is_among(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a tag is one of a list; a weak one is never what a change is meant for."""
    if header.strip() == "*":
        return True
    if _LIST.fullmatch(header) is None:
        raise InvalidInput(f"{header[:80]!r} lists no tags: send what `ETag` said, with its quotation marks, or `*`.")
    found = _ONE.findall(header)
    if len(found) > MAX_TAGS:
        raise InvalidInput(f"{len(found)} tags are listed; at most {MAX_TAGS} are looked at.")
    return any(text == etag and (weak or not mark) for mark, text in found)
