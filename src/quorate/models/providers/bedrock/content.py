"""How are the parts of a message written for Converse?"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Sequence
from typing import cast
from zlib import crc32

import msgspec

from quorate.errors import InvalidInput
from quorate.messages import AnyPart, Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from quorate.models.providers.calls import CallIds, fit_name

Json = dict[str, object]
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
SOUNDS = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "audio/flac": "flac", "audio/ogg": "ogg", "audio/opus": "opus", "audio/aac": "aac", "audio/mp4": "mp4",
    "audio/x-m4a": "m4a", "audio/webm": "webm",
}  # fmt: skip
DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html", "text/plain": "txt", "text/markdown": "md", "application/json": "txt",
}  # fmt: skip
MAX_ID = 64
MAX_NAME = 200
NOTHING = "(nothing)"
"""Said where there are no words, as an empty text is refused."""
_UNFIT_ID = re.compile(r"[^A-Za-z0-9_.:-]")
_UNFIT_NAME = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_SPACES = re.compile(r" {2,}")


class Writer:
    """Writes the messages of one conversation; it numbers the documents, as no two may have one name.

    Args:
        provider: Whose reasoning goes back.
        tools: The names of the tools there are.
    """

    __slots__ = ("_documents", "_ids", "_provider", "_tools")

    def __init__(self, provider: str, *, tools: Collection[str] = ()) -> None:
        self._provider = provider
        self._tools = tools
        self._documents = 0
        self._ids = CallIds(fit_id)

    def build_messages(self, messages: Sequence[Message]) -> list[Json]:
        """Build the turns; what people and tools say one after the other is one turn.

        Raises:
            InvalidInput: A part cannot be carried.
        """
        turns: list[Json] = []
        for message in messages:
            role = "assistant" if message.role == "assistant" else "user"
            content: list[Json] = [block for part in message.parts for block in self._build_block(part, role)]
            if not content:
                if role == "assistant":
                    continue  # reasoning of another provider alone, which nobody else reads
                content.append({"text": NOTHING})
            if turns and turns[-1]["role"] == role:
                cast("list[Json]", turns[-1]["content"]).extend(content)
            else:
                turns.append({"role": role, "content": content})
        for turn in turns:
            _order_turn(turn)
        return turns

    def _build_block(self, part: AnyPart, role: str) -> Sequence[Json]:
        if isinstance(part, Text):
            return ({"text": part.text},) if part.text.strip() else ()
        if isinstance(part, ToolCall):
            return (self._build_call(part),)
        if isinstance(part, ToolResult):
            return (self._build_result(part),)
        if isinstance(part, Thinking):
            if role != "assistant":
                raise InvalidInput("Converse cannot carry Thinking in a user's message.")
            return _build_thinking(part, self._provider)
        if role == "assistant" and not isinstance(part, Image):
            raise InvalidInput(f"Converse cannot carry {type(part).__name__} in a model's own message.")
        return (self._build_media(part),)

    def _build_call(self, call: ToolCall) -> Json:
        try:
            given: object = msgspec.json.decode(call.arguments)
        except (msgspec.DecodeError, RecursionError):
            given = call.arguments
        # An object is asked for; the model sees again what it wrote, and the tool's answer says what was wrong with it.
        input_ = cast("Json", given) if isinstance(given, dict) else {"malformed_arguments": given}
        name, id_ = fit_name(call.name, self._tools), self._ids.write_call(call.id)
        return {"toolUse": {"toolUseId": id_, "name": name, "input": input_}}

    def _build_result(self, result: ToolResult) -> Json:
        parts = (Text(text=result.content),) if isinstance(result.content, str) else result.content
        content: list[Json] = []
        for part in parts:
            if isinstance(part, Audio):
                raise InvalidInput(f"Converse cannot carry sound in a tool's result ({result.name!r}).")
            if not isinstance(part, Text):
                content.append(self._build_media(part))
            elif part.text.strip():
                content.append({"text": part.text})
        return {
            "toolResult": {
                "toolUseId": self._ids.write_result(result.call_id),
                "content": content or [{"text": NOTHING}],
                "status": "error" if result.is_error else "success",
            }
        }

    def _build_media(self, part: Image | Audio | File) -> Json:
        if isinstance(part, File):
            return {"document": self._build_document(part)}
        if isinstance(part, Image):
            format_ = _find_format(part.media_type, IMAGES, "A picture")
            return {"image": {"format": format_, "source": _build_source(part, "A picture")}}
        format_ = _find_format(part.media_type, SOUNDS, "Sound")
        return {"audio": {"format": format_, "source": _build_source(part, "Sound")}}

    def _build_document(self, part: File) -> Json:
        self._documents += 1
        stem = part.name.rpartition(".")[0] or part.name
        words = _SPACES.sub(" ", _UNFIT_NAME.sub(" ", stem)).strip()[: MAX_NAME - 16].strip()
        return {
            "format": _find_format(part.media_type, DOCUMENTS, f"File {part.name!r}"),
            "name": f"{words or 'document'} {self._documents}",
            "source": _build_source(part, f"File {part.name!r}"),
        }


def fit_id(id_: str) -> str:
    """Write a call's id so that Converse takes it; one of another provider may hold what it does not."""
    fit = _UNFIT_ID.sub("_", id_)
    if fit == id_ and 0 < len(fit) <= MAX_ID:
        return fit
    return f"{fit[: MAX_ID - 9]}-{crc32(id_.encode()):08x}"


def _build_thinking(part: Thinking, provider: str) -> Sequence[Json]:
    """Build what the provider wants back; reasoning without a signature, or of another provider, is not shown."""
    if part.provider != provider or not part.signature:
        return ()
    if part.redacted:
        return ({"reasoningContent": {"redactedContent": part.signature}},)
    return ({"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}},)


def _find_format(media_type: str, known: dict[str, str], what: str) -> str:
    found = known.get(media_type.partition(";")[0].strip().lower())
    if found is None:
        raise InvalidInput(f"{what} of type {media_type!r} cannot be sent; known: {', '.join(known)}.")
    return found


def _build_source(part: Image | Audio | File, what: str) -> Json:
    if part.data is not None:
        if not part.data:
            raise InvalidInput(f"{what} is empty.")
        return {"bytes": b64encode(part.data).decode()}
    if part.url is not None and part.url.startswith("s3://"):
        return {"s3Location": {"uri": part.url}}
    raise InvalidInput(f"{what} is sent as bytes or from `s3://`, not from another URL: read it first and pass `data`.")


def _order_turn(turn: Json) -> None:
    """Put a turn's results first, as they must follow their calls at once, and words beside its documents."""
    content = cast("list[Json]", turn["content"])
    if turn["role"] != "user":
        return
    if any("document" in block for block in content) and not any("text" in block for block in content):
        content.insert(0, {"text": "The documents:"})  # they are not taken without words
    if any("toolResult" in block for block in content):
        content.sort(key=lambda block: "toolResult" not in block)
