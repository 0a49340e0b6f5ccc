"""May a session be called, marked and bounded so?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import structs

from quorate.errors import InvalidInput
from quorate.state.plain import Rules, to_plain
from quorate.state.sessions.session import SessionLimits

MAX_TITLE = 200
MAX_TAGS = 32
MAX_TAG = 64
MAX_METADATA_BYTES = 16 << 10
MAX_SHARES = 100
MAX_PRINCIPAL = 255


def check_title(title: str) -> str:
    """Return a title, or raise `InvalidInput`."""
    if len(title) > MAX_TITLE or not title.isprintable():
        raise InvalidInput(f"title {title[:80]!r} is not one: use up to {MAX_TITLE} printable characters.")
    return title


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in order and each once, or raise `InvalidInput`."""
    if isinstance(tags, str):
        raise InvalidInput(f"tags {tags[:80]!r} are one text: give a list.")
    for tag in tags:
        if not 1 <= len(tag) <= MAX_TAG or not tag.isprintable() or tag.strip() != tag:
            raise InvalidInput(f"tag {tag[:80]!r} is not one: use 1 to {MAX_TAG} printable characters.")
    if len(set(tags)) > MAX_TAGS:
        raise InvalidInput(f"{len(set(tags))} tags are too many: a session has up to {MAX_TAGS}.")
    return tuple(sorted(set(tags)))


def check_metadata(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return a copy of metadata as JSON data.

    Raises:
        InvalidInput: It holds a secret, itself, or what cannot be written.
        TooLarge: It is over 16 KiB.
    """
    plain = to_plain(dict(metadata), name="", where="metadata", rules=Rules(max_bytes=MAX_METADATA_BYTES, max_depth=16))
    return cast("dict[str, object]", plain)  # a mapping becomes one


def check_shares(shared_with: Sequence[str]) -> tuple[str, ...]:
    """Return who else may use a session, or raise `InvalidInput`."""
    if isinstance(shared_with, str):
        raise InvalidInput(f"shared_with {shared_with[:80]!r} is one text: give a list of principals.")
    if len(shared_with) > MAX_SHARES:
        raise InvalidInput(f"{len(shared_with)} shares are too many: a session has up to {MAX_SHARES}.")
    return tuple(sorted({check_principal(one) for one in shared_with}))


def check_principal(principal: str) -> str:
    """Return who somebody is, or raise `InvalidInput`."""
    if not 1 <= len(principal) <= MAX_PRINCIPAL or not principal.isprintable():
        raise InvalidInput(f"principal {principal[:80]!r} is not one: use 1 to {MAX_PRINCIPAL} printable characters.")
    return principal


def check_session_limits(limits: SessionLimits) -> SessionLimits:
    """Return limits, or raise `InvalidInput` when one of them is no number above 0."""
    try:
        msgspec.convert(structs.asdict(limits), SessionLimits)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"session limits do not fit: {error}.") from error
    for name, value in structs.asdict(limits).items():
        if value is not None and not 0 < value < float("inf"):
            raise InvalidInput(f"session limit `{name}` is {value!r}: give a number above 0, or leave it out.")
    return limits
