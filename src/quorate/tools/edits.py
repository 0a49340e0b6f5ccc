"""What may an approver change in a call's arguments, and what is the answer then bound to?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, cast

import msgspec

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput

MAX_BYTES = 1 << 20
Fields = dict[str, object]


def check_edit(asked: str, given: str, editable: Sequence[str]) -> None:
    """Check that `given` differs from `asked` in editable fields only.

    Both are read strictly, since whoever approved saw one text and the tool reads it anew: a name given twice or a
    number that is none (`NaN`) is refused, and `1`, `1.0` and `true` are three values.

    Raises:
        InvalidInput: One of them is not one JSON object, or another field differs; the message names it.
    """
    before, after = _read(asked, "the call's own arguments"), _read(given, "the edited arguments")
    changed = [name for name in {**before, **after} if name not in before or before[name] != after.get(name)]
    missing = [name for name in before if name not in after]
    fixed = sorted({*changed, *missing} - {*editable})
    if fixed:
        allowed = ", ".join(f"`{name}`" for name in editable) or "nothing"
        raise InvalidInput(
            f"The edited arguments differ in {', '.join(repr(name) for name in fixed)}; what may be changed is "
            f"{allowed}. Reject the call and say why instead."
        )


def build_edit(asked: str, changes: Mapping[str, object]) -> str:
    """Write the arguments anew with some fields changed; every other value stays as it was written, to the byte.

    Raises:
        InvalidInput: What was asked is not one JSON object.
    """
    _read(asked, "the call's own arguments")
    fields: dict[str, object] = {**msgspec.json.decode(asked or "{}", type=dict[str, msgspec.Raw]), **changes}
    return msgspec.json.encode(fields).decode()


def get_edit_digest(digest: str, arguments: str) -> str:
    """Return SHA-256 over what the question was bound to and the exact arguments that are to be used instead."""
    return hashlib.sha256(f"{digest}\0{arguments}".encode()).hexdigest()


def _read(text: str, what: str) -> Fields:
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"{what} have {len(text)} characters; at most {MAX_BYTES} are read.")
    check_depth(text, what=what)
    try:
        value: object = json.loads(
            text or "{}",
            object_pairs_hook=_read_pairs,
            parse_int=_read_number,
            parse_float=_read_number,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise InvalidInput(f"{what} are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} are not a JSON object, but {text[:80]!r}.")
    return cast("Fields", value)


def _read_pairs(pairs: list[tuple[str, object]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return fields


def _read_number(text: str) -> tuple[str, str]:
    # A pair is nothing that JSON can hold, so no text is ever equal to a number.
    return ("number", text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
