"""In which formats can values be written, and which one does somebody want?

`find_codec` finds one by its name or content type, `choose_codec` the best of those that somebody accepts; each has
`encode` and `decode`. A format is never replaced by another one in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Protocol, TypeVar

from quorate.errors import InvalidInput, UnknownName

T = TypeVar("T")
MAX_BYTES = 1 << 20
JSON, MSGPACK, PROTOBUF = "application/json", "application/msgpack", "application/protobuf"
CONTENT_TYPE, ACCEPT = "Content-Type", "Accept"
"""The headers of a message that say in which format it is, and in which ones an answer to it is read."""


class Codec(Protocol):
    """One format; it holds no state."""

    @property
    def name(self) -> str:
        """A short word: `json`, `msgpack` or `protobuf`."""
        ...

    @property
    def content_type(self) -> str:
        """Its name on the wire."""
        ...

    def encode(self, value: object) -> bytes:
        """Write a value.

        Raises:
            InvalidInput: It cannot be written in this format.
        """
        ...

    def decode(self, data: bytes, type_: type[T], *, what: str = ..., max_bytes: int = MAX_BYTES) -> T:
        """Read and check a value of a declared type.

        Raises:
            TooLarge: There are more than `max_bytes`.
            InvalidInput: It is malformed, too deep, or not of that type; the message says where.
        """
        ...


@cache
def _open_json() -> Codec:
    from quorate.codec.json import JsonCodec

    return JsonCodec()


@cache
def _open_msgpack() -> Codec:
    from quorate.codec.msgpack import MsgpackCodec

    return MsgpackCodec()


def _open_protobuf() -> Codec:
    from quorate.codec.protobuf import ProtobufCodec

    return ProtobufCodec()


CODECS: Mapping[str, tuple[str, Callable[[], Codec]]] = MappingProxyType({
    "json": (JSON, _open_json),
    "msgpack": (MSGPACK, _open_msgpack),
    "protobuf": (PROTOBUF, _open_protobuf),
})  # fmt: skip
"""Content type and codec by name; the one that is preferred when nobody says anything comes first."""
ALIASES: Mapping[str, str] = MappingProxyType({
    "application/x-msgpack": "msgpack", "application/vnd.msgpack": "msgpack",
    "application/x-protobuf": "protobuf", "application/vnd.google.protobuf": "protobuf", "text/json": "json",
})  # fmt: skip
NAMES: Mapping[str, str] = MappingProxyType({
    **ALIASES, **{name: name for name in CODECS}, **{content_type: name for name, (content_type, _) in CODECS.items()}
})  # fmt: skip
"""What each format may be called, and which one that is."""


def find_codec(name: str = "json") -> Codec:
    """Find a codec by its name or content type; parameters behind a `;` are passed over.

    Raises:
        UnknownName: There is no such format.
        MissingExtra: What it needs is not installed.
    """
    short = NAMES.get(name) or NAMES.get(name.partition(";")[0].strip().lower())
    if short is not None:
        return CODECS[short][1]()
    raise UnknownName("format", name, [*CODECS, *(content_type for content_type, _ in CODECS.values())])


def find_format(headers: Mapping[str, str]) -> Codec:
    """Find the format that a message says it is in; JSON where it says nothing.

    Raises:
        UnknownName: There is no such format.
        MissingExtra: What it needs is not installed.
    """
    return find_codec(headers.get(CONTENT_TYPE, JSON))


def choose_codec(accept: str, *, among: Collection[str] = tuple(CODECS)) -> Codec:
    """Choose the format that somebody wants most, from an `Accept` header (RFC 9110, section 12.5.1).

    Args:
        accept: What they say.
        among: The names of those that can be written, the one preferred first.

    Raises:
        InvalidInput: None of ours is accepted.
        MissingExtra: The one that is wanted most is not installed.
    """
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        for name in _match(media, among):
            wanted.append((-_read_weight(parameters), place, name))
    chosen = [name for weight, _, name in sorted(wanted) if weight < 0]
    if not chosen:
        known = ", ".join(f"`{CODECS[name][0]}`" for name in among)
        raise InvalidInput(f"None of the formats {accept[:200]!r} can be written; known: {known}.")
    return find_codec(chosen[0])


def _match(media: str, among: Collection[str]) -> list[str]:
    if media in ("", "*/*", "application/*"):
        return [next(iter(among))]
    return [short for short in among if media == CODECS[short][0] or ALIASES.get(media) == short]


def _read_weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
