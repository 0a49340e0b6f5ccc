"""How many tokens is a text or a request, exactly where a tokenizer is at hand, and by calibrated estimate elsewhere?

How the estimates were calibrated: English and seven other languages' prose, Python, TOML, JSON in three layouts, logs,
CSV, base64 and hexadecimal, from 0.1 to 400 KB each, were counted with the public vocabularies `o200k_base` and
`cl100k_base`. What tells them apart cheaply is the share of spaces (words of prose are whole tokens, digits and random
letters are not) and the bytes that are not ASCII. For families whose tokenizer is not public, the `o200k_base` figures
are scaled by what their makers state of characters for a token. Estimates lean to the high side: a reservation that is
too large is settled, one that is too small is not.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

import msgspec
from msgspec import Struct

from quorate.messages import AnyPart, Audio, File, Image, Text, Thinking, ToolCall, ToolResult
from quorate.specs import Request

MESSAGE_TOKENS = 4
"""What frames a message: its role and its borders."""
CALL_TOKENS = 8
"""What frames a tool call, its result, or a tool's description."""
IMAGE_TOKENS = 1100
"""A picture of ordinary size at the dearer of the big providers."""
SOUND_BYTES_PER_TOKEN = 1000
FILE_BYTES_PER_TOKEN = 25
"""For documents that are not text: about 2,000 tokens a page of 50 KB."""
SCHEMA_BYTES_PER_TOKEN = 3.6
SAMPLED = 8192
"""Longer texts are looked at in samples, so that the work for a text is bounded."""
SAMPLES = 4
_SHORT = 64

# Characters for a token by the share of spaces, in percent; between two of these it is interpolated.
_SPACES = (0.0, 5.0, 11.0, 14.0, 18.0, 25.0, 33.0, 45.0)
_DENSITY = (1.6, 2.1, 2.45, 3.7, 4.1, 4.2, 3.6, 2.4)
_PROSE = 4.0


class Family(Struct, frozen=True, kw_only=True):
    """How densely a family of models cuts text."""

    name: str
    scale: float = 1.0
    """Tokens for the same ASCII text, measured against `o200k_base`."""
    foreign_bytes: float = 3.7
    """Bytes of text that is not ASCII for a token."""


class TokenCount(Struct, frozen=True, kw_only=True):
    """How many tokens, and how that is known."""

    count: int
    exact: bool
    """Whether a tokenizer of the very model counted all of it."""
    by: str
    """The tokenizer, or the family whose estimate it is."""


class Tokenizer(Protocol):
    """A real tokenizer that is at hand."""

    @property
    def name(self) -> str:
        """The vocabulary's name."""
        ...

    def count(self, text: str) -> int:
        """Count a text's tokens."""
        ...


class TokenizerSource(Protocol):
    """Where tokenizers are found by model."""

    def find(self, model: str) -> Tokenizer | None:
        """Find a model's tokenizer, or `None` where there is none at hand."""
        ...


O200K = Family(name="o200k")
"""GPT-4o and later, measured."""
CL100K = Family(name="cl100k", foreign_bytes=2.4)
"""GPT-4 and GPT-3.5, measured."""
CLAUDE = Family(name="claude", scale=1.25, foreign_bytes=2.8)
"""Its maker states 3.5 English characters for a token, and up to a third more tokens for its latest tokenizer."""
GEMINI = Family(name="gemini", scale=1.05)
"""Its maker states 4 characters for a token."""
OTHER = Family(name="other", scale=1.15, foreign_bytes=2.8)
"""Whatever is not known: vocabularies of 32,000 to 150,000 tokens."""

# The first whose words begin the model's name, behind the provider; the rest is `OTHER`.
_FAMILIES = (
    (CL100K, ("gpt-3.5", "gpt-4-", "text-embedding-", "gpt-35")),
    (O200K, ("gpt-", "o1", "o3", "o4", "chatgpt", "codex")),
    (CLAUDE, ("claude", "anthropic.claude")),
    (GEMINI, ("gemini", "gemma")),
)


def find_family(model: str) -> Family:
    """Find how densely a model cuts text, by its name with or without the provider's."""
    name = (model.partition(":")[2] or model).rpartition("/")[2]
    if name == "gpt-4":
        return CL100K
    for family, beginnings in _FAMILIES:
        if name.startswith(beginnings):
            return family
    # Bedrock writes the region before the maker: `us.anthropic.claude-…`.
    return CLAUDE if "claude" in name else OTHER


def estimate_text(text: str, family: Family = O200K) -> int:
    """Estimate a text's tokens: 0.8 to 1.7 of the count for what it was calibrated with, mostly above."""
    length = len(text)
    if length > SAMPLED:
        step, size = length // SAMPLES, SAMPLED // SAMPLES
        sample = "".join([text[at : at + size] for at in range(0, step * SAMPLES, step)])
        return round(_estimate(sample, family) * length / len(sample)) + 1
    return int(_estimate(text, family)) + 1 if length else 0


def _estimate(text: str, family: Family) -> float:
    if text.isascii():
        return len(text) / _find_density(text, len(text)) * family.scale
    plain = len(text.encode("ascii", "ignore"))
    foreign = len(text.encode("utf-8", "replace")) - plain
    density = _find_density(text, plain) if plain else 1.0
    return plain / density * family.scale + foreign / family.foreign_bytes


def _find_density(text: str, plain: int) -> float:
    """The characters for a token in what is ASCII of a text."""
    if plain < _SHORT:
        return _PROSE
    share = 100 * text.count(" ") / plain
    place = bisect_right(_SPACES, share)
    if place == len(_SPACES):
        return _DENSITY[-1]
    below, above = _SPACES[place - 1], _SPACES[place]
    low = _DENSITY[place - 1]
    return low + (_DENSITY[place] - low) * (share - below) / (above - below)


def estimate_request(request: Request, model: str = "") -> int:
    """Estimate what a request's input comes to, framing, tools and pictures included; cheap enough for every call."""
    family = find_family(model) if model else O200K
    total = 3.0
    if request.instructions:
        total += estimate_text(request.instructions, family) + MESSAGE_TOKENS
    if request.tools or request.output is not None:
        written = msgspec.msgpack.encode((request.tools, request.output))
        total += len(written) / SCHEMA_BYTES_PER_TOKEN * family.scale + CALL_TOKENS * len(request.tools)
    for message in request.messages:
        total += MESSAGE_TOKENS
        for part in message.parts:
            total += estimate_text(part.text, family) if type(part) is Text else _estimate_part(part, family)
    return int(total)


def _estimate_part(part: AnyPart, family: Family) -> int:
    if isinstance(part, Text | Thinking):
        return estimate_text(part.text, family)
    if isinstance(part, ToolCall):
        return estimate_text(part.arguments, family) + estimate_text(part.name, family) + CALL_TOKENS
    if isinstance(part, ToolResult):
        if isinstance(part.content, str):
            return estimate_text(part.content, family) + CALL_TOKENS
        return sum(_estimate_part(piece, family) for piece in part.content) + CALL_TOKENS
    return _estimate_media(part, family)


def _estimate_media(part: Image | Audio | File, family: Family) -> int:
    if isinstance(part, Image):
        return IMAGE_TOKENS
    if part.data is None:
        return IMAGE_TOKENS
    if isinstance(part, Audio):
        return len(part.data) // SOUND_BYTES_PER_TOKEN + 1
    if part.media_type.startswith("text/"):
        return round(len(part.data) / _PROSE * family.scale) + 1
    return len(part.data) // FILE_BYTES_PER_TOKEN + 1


def count_text(text: str, model: str, *, tokenizers: TokenizerSource | None = None) -> TokenCount:
    """Count a text's tokens as a model would, without whatever frames it in a request.

    Args:
        text: What to count.
        model: The model's name, such as `openai:gpt-5.2`.
        tokenizers: Where real tokenizers are found; without one the count is an estimate, and says so.
    """
    tokenizer = tokenizers.find(model) if tokenizers is not None else None
    if tokenizer is not None:
        return TokenCount(count=tokenizer.count(text), exact=True, by=tokenizer.name)
    family = find_family(model)
    return TokenCount(count=estimate_text(text, family), exact=False, by=f"estimate for {family.name}")


def count_request(request: Request, model: str, *, tokenizers: TokenizerSource | None = None) -> TokenCount:
    """Count a request's tokens; never exact, as no provider publishes how it frames messages and tools.

    With a tokenizer at hand the words are counted by it, and the framing alone is estimated.
    """
    tokenizer = tokenizers.find(model) if tokenizers is not None else None
    if tokenizer is None:
        count = estimate_request(request, model)
        return TokenCount(count=count, exact=False, by=f"estimate for {find_family(model).name}")
    texts = list(iterate_texts(request))
    if request.tools or request.output is not None:
        texts.append(msgspec.json.encode((request.tools, request.output)).decode())
    framing = 3 + MESSAGE_TOKENS * (len(request.messages) + 1) + CALL_TOKENS * len(request.tools)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall | ToolResult):
                framing += CALL_TOKENS
            framing += sum(_estimate_media(piece, O200K) for piece in _find_media(part))
    count = framing + sum(map(tokenizer.count, texts))
    return TokenCount(count=count, exact=False, by=f"{tokenizer.name}, framing estimated")


def iterate_texts(request: Request) -> list[str]:
    """List all words of a request, tools and schemas left out."""
    found = [request.instructions] if request.instructions else []
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text | Thinking):
                found.append(part.text)
            elif isinstance(part, ToolCall):
                found += (part.name, part.arguments)
            elif isinstance(part, ToolResult):
                pieces = part.content
                found += [pieces] if isinstance(pieces, str) else [p.text for p in pieces if isinstance(p, Text)]
    return found


def _find_media(part: AnyPart) -> list[Image | Audio | File]:
    if isinstance(part, Image | Audio | File):
        return [part]
    if isinstance(part, ToolResult) and not isinstance(part.content, str):
        return [piece for piece in part.content if not isinstance(piece, Text)]
    return []
