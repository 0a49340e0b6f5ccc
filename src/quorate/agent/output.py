"""What must the final answer be, how is a model told, and does its answer fit?"""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Literal, Union, cast, get_args, get_origin

import msgspec

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput
from quorate.messages import Message, ToolCall
from quorate.specs import FINAL_TOOL, ModelProfile, OutputSpec, ToolSpec
from quorate.tools.schema import Schema, build_schema, decode_foreign, encode_foreign

MAX_REPAIRS = 2
Mode = Literal["text", "native", "tool", "prompted"]

_encode = msgspec.json.Encoder(enc_hook=encode_foreign).encode


class Output:
    """An agent's output type, and the three ways of asking a model for it."""

    def __init__(self, type_: object) -> None:
        self.type = type_
        self._is_text = type_ is str
        if self._is_text:
            return
        members = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
        self._allows_text = str in members
        schema = build_schema(type_)
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            schema = _wrap(schema)
        decoder = msgspec.json.Decoder(cast("type[object]", type_), dec_hook=decode_foreign)
        self._decode: Callable[[str | bytes], object] = decoder.decode
        self.spec = OutputSpec(name=getattr(type_, "__name__", "answer"), json_schema=schema)
        self.tool = ToolSpec(
            name=FINAL_TOOL,
            description="Give the final answer. Call it once, when the work is done.",
            parameters=schema,
            effect="idempotent",
        )

    def choose_mode(self, profile: ModelProfile) -> Mode:
        """Choose how to ask: the model's own schema enforcement, else a tool, else words."""
        if self._is_text:
            return "text"
        return "native" if profile.native_output else "tool" if profile.tools else "prompted"

    @property
    def prompt(self) -> str:
        """The words that ask for the schema, for a model that can do neither schemas nor tools."""
        schema = _encode(self.spec.json_schema).decode()
        return f"Answer with JSON alone, no other words, that fits this JSON Schema:\n{schema}"

    def find_call(self, message: Message) -> ToolCall | None:
        """Find the call that carries the final answer, or `None`."""
        for call in message.tool_calls:
            if call.name == FINAL_TOOL:
                return call
        return None

    def read(self, text: str) -> object:
        """Read a final answer.

        Raises:
            InvalidInput: It does not fit; the message says where, for the model to mend.
        """
        if self._is_text:
            return text
        body = _unfence(text)
        try:
            check_depth(body, what="the answer")
            return self._decode_either(body)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            if self._allows_text and not body.startswith(("{", "[")):
                return text
            raise InvalidInput(f"The answer does not fit the schema: {error}") from error

    def _decode_either(self, body: str) -> object:
        if self._wrapped and body.startswith("{"):
            wrapped: object = msgspec.json.decode(body)
            if isinstance(wrapped, dict) and list(cast("dict[str, object]", wrapped)) == ["result"]:
                return self._decode(_encode(wrapped["result"]))
        return self._decode(body)

    def write(self, value: object) -> str:
        """Write a final answer for the log."""
        return value if isinstance(value, str) else _encode(value).decode()


def _wrap(schema: Schema) -> Schema:
    """Put a schema that is no object's into one, since providers take objects only."""
    definitions = schema.pop("$defs", None)
    wrapped: Schema = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    wrapped["additionalProperties"] = False
    if definitions is not None:
        wrapped["$defs"] = definitions
    return wrapped


def _unfence(text: str) -> str:
    """Take JSON out of the Markdown fence that models like to put around it."""
    body = text.strip()
    if body.startswith("```") and body.endswith("```") and "\n" in body:
        body = body[body.index("\n") + 1 : -3].strip()
    return body
