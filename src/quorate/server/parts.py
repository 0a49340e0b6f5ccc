"""How are pictures, sounds, documents and reasoning read that programs of other protocols send?"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NoReturn, TypeVar

import msgspec
from msgspec import Struct

from quorate.errors import InvalidInput
from quorate.messages import Audio, File, Image, Message, Text, Thinking

T = TypeVar("T")
SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg"}
MAX_SAID = 500
SEAL = "qs1."
"""How reasoning begins that was given out here, so that it goes back to the provider that it is from."""
_PLACE = re.compile(r" - at `\$\.?(.*)`\Z")
_UNKNOWN = re.compile(r"unknown field `([^`]{1,80})`")
_MISSING = re.compile(r"missing required field `([^`]{1,80})`")


class Seal(Struct, frozen=True, array_like=True):
    """Whose a piece of reasoning is, and what its provider wants back with it."""

    provider: str
    id: str = ""
    signature: str = ""
    redacted: bool = False


_encode_seal = msgspec.msgpack.Encoder().encode
_decode_seal = msgspec.msgpack.Decoder(Seal).decode


def refuse(field: str, why: str) -> InvalidInput:
    """Build the refusal of one field of a request, which programs read the name of."""
    return InvalidInput(f"`{field}` {why}", param=field)


def check_unset(asked: Struct, fields: dict[str, tuple[object, ...]], *, why: str) -> None:
    """Return if fields that are not served are left out, or have a value that asks for nothing.

    Args:
        asked: A request.
        fields: For each field the values that ask for nothing, beside `None`.
        why: What is said of all others.

    Raises:
        InvalidInput: One is set; its name is in `context["param"]`.
    """
    for name, idle in fields.items():
        value: object = getattr(asked, name)
        if value is not None and value not in idle:
            raise refuse(name, f"is {_show(value)}: {why}")


def check_for_agent(asked: Struct, fields: Sequence[str], *, agent: str) -> None:
    """Return if nothing is asked of an agent that only a model is told.

    Raises:
        InvalidInput: Something is.
    """
    for name in fields:
        value: object = getattr(asked, name)
        if value is not None:
            raise refuse(name, f"is for models, and {agent!r} is an agent, which has its own: leave it out.")


def read_body(decoder: msgspec.json.Decoder[T], body: bytes, *, what: str) -> T:
    """Read a request.

    Raises:
        InvalidInput: It is none; `context["param"]` names the field that does not fit.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_body(str(error), what, error)


def _refuse_body(said: str, what: str, error: Exception) -> NoReturn:
    place = _PLACE.search(said)
    path = place[1] if place is not None else ""
    named = _UNKNOWN.search(said) or _MISSING.search(said)
    field = ".".join(part for part in (path, named[1] if named is not None else "") if part)
    raise InvalidInput(
        f"The request is no {what} that is known here: {said[:MAX_SAID]}", param=field or None
    ) from error


def read_data_url(url: str, where: str) -> tuple[str, bytes]:
    """Read a `data:` address (RFC 2397): its kind and its bytes.

    Raises:
        InvalidInput: It is none, or not base64.
    """
    head, comma, body = url.partition(",")
    media_type, semicolon, coding = head.removeprefix("data:").partition(";")
    if not url.startswith("data:") or not comma or (semicolon, coding) != (";", "base64"):
        raise InvalidInput(f"{where} must hold its bytes, as `data:image/png;base64,…`.", param=where)
    return media_type, read_base64(body, where)


def read_base64(text: str, where: str) -> bytes:
    """Read bytes.

    Raises:
        InvalidInput: They are not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where} is not base64: {error}", param=where) from error


def read_picture(url: str, where: str) -> Image:
    """Read a picture: its bytes, or where the provider finds it.

    Raises:
        InvalidInput: It is neither.
    """
    if url.startswith("https://"):
        return Image(url=url)  # the provider fetches it, or refuses to
    media_type, data = read_data_url(url, where)
    return Image(data=data, media_type=media_type)


def read_sound(data: str, format: str, where: str) -> Audio:
    """Read sound.

    Raises:
        InvalidInput: It is not base64, or of a kind that is not known.
    """
    media_type = SOUNDS.get(format)
    if media_type is None:
        raise InvalidInput(f"{where} is of the format {format[:40]!r}; known: {', '.join(SOUNDS)}.", param=where)
    return Audio(media_type=media_type, data=read_base64(data, where))


def read_document(url: str, name: str, where: str) -> File:
    """Read a document from a `data:` address.

    Raises:
        InvalidInput: It is none.
    """
    media_type, data = read_data_url(url, where)
    return File(data=data, media_type=media_type, name=name)


def seal(part: Thinking) -> str:
    """Write what goes with reasoning so that `unseal` knows whose it is; empty where there is nothing to go with it."""
    if part.signature is None:
        return ""
    kept = Seal(provider=part.provider, id=part.id, signature=part.signature, redacted=part.redacted)
    return SEAL + base64.urlsafe_b64encode(_encode_seal(kept)).decode()


def unseal(sealed: str, *, text: str = "") -> Thinking | None:
    """Read reasoning that comes back; `None` for what was not given out here, which nobody could check.

    A provider checks its own signature, so that nothing can be put into a model's mouth by making one up.
    """
    if not sealed.startswith(SEAL):
        return None
    try:
        kept = _decode_seal(base64.urlsafe_b64decode(sealed.removeprefix(SEAL)))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError):
        return None
    return Thinking(text=text, signature=kept.signature, id=kept.id, provider=kept.provider, redacted=kept.redacted)


def build_aside(text: str) -> Message:
    """Build what stands for instructions that are not at the beginning, or not from the agent's own author.

    It is one more thing that was said: nobody's text becomes a role.
    """
    return Message(role="user", parts=(Text(text),))


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"
