"""Which real tokenizers are at hand, without a network?

`tiktoken` fetches its vocabularies when it is used, so it is not one of them; a program that has it, or any other, may
give it under a name. Loading takes a third of a second, so it is done once, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol, cast

from msgspec import Meta, Struct

from quorate.errors import InvalidInput, MissingExtra, UnknownName
from quorate.models.cache.rule import build_model_test
from quorate.models.tokens import Tokenizer

MOST_CHARS = 4_000_000
"""Longer texts are refused: a count takes up to 0.3 µs a character."""


class TokenizerRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are counted by what."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    """Names in full or patterns with `*`, such as `openai:gpt-5*`; the first rule that fits counts."""
    kind: Literal["o200k", "cl100k", "file", "given"]
    """OpenAI's vocabularies (extra `tokens`), a `tokenizer.json` (extra `tokenizers`), or one the program gave."""
    file: str = ""
    """The path of a `tokenizer.json`, with `kind = "file"`."""
    name: str = ""
    """The name the program gave it under, with `kind = "given"`."""


class _Encoded(Protocol):
    def __len__(self) -> int: ...


class _FileTokenizer(Protocol):
    def encode(self, sequence: str, *, add_special_tokens: bool) -> _Encoded: ...


class _FileLibrary(Protocol):
    @staticmethod
    def from_file(path: str) -> _FileTokenizer: ...


class _VocabularyLibrary(Protocol):
    def o200k_base(self) -> _Vocabulary: ...
    def cl100k_base(self) -> _Vocabulary: ...


class _Vocabulary(Protocol):
    def count(self, text: str) -> int: ...


class VocabularyTokenizer:
    """A `Tokenizer` with one of OpenAI's public vocabularies, which come with the library.

    Raises:
        MissingExtra: The extra `tokens` is not installed.
    """

    def __init__(self, name: Literal["o200k", "cl100k"]) -> None:
        try:
            from rs_bpe import openai  # pyright: ignore[reportUnknownVariableType]
        except ImportError as error:
            raise MissingExtra("Counting OpenAI's tokens", "tokens") from error
        self.name = f"{name}_base"
        library = cast("_VocabularyLibrary", cast("object", openai))  # it has no types
        self._vocabulary = library.o200k_base() if name == "o200k" else library.cl100k_base()

    def count(self, text: str) -> int:
        """Count a text's tokens; what looks like a control token is text."""
        return self._vocabulary.count(_check(text))


class FileTokenizer:
    """A `Tokenizer` from the `tokenizer.json` that makers of open models publish.

    Raises:
        MissingExtra: The extra `tokenizers` is not installed.
        InvalidInput: The file is none.
    """

    def __init__(self, path: str) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise MissingExtra("Counting tokens with a `tokenizer.json`", "tokenizers") from error
        try:
            # The library says its types in a file of its own; it has this one method.
            self._tokenizer = cast("type[_FileLibrary]", tokenizers.Tokenizer).from_file(path)
        except Exception as error:  # the library raises the bare class for whatever is wrong with a file
            raise InvalidInput(f"{path!r} is no `tokenizer.json`: {error}", path=path) from error
        self.name = path.replace("\\", "/").rpartition("/")[2]

    def count(self, text: str) -> int:
        """Count a text's tokens, without those that begin and end one."""
        return len(self._tokenizer.encode(_check(text), add_special_tokens=False))


class Tokenizers:
    """The real tokenizers that a program has, by model."""

    def __init__(self, rules: Sequence[TokenizerRule], *, given: Mapping[str, Tokenizer] | None = None) -> None:
        """Build it; nothing is read before `load`.

        Args:
            rules: Whose tokens are counted by what.
            given: The program's own tokenizers, by name.

        Raises:
            InvalidInput: A rule names no file or no name where it needs one.
            UnknownName: There is no such tokenizer.
        """
        self._given = given or {}
        for rule in rules:
            if rule.kind == "file" and not rule.file:
                raise InvalidInput(f'The tokenizer of {rule.models} has `kind = "file"`: give `file`, too.')
            if rule.kind == "given" and rule.name not in self._given:
                raise UnknownName(
                    "tokenizer", rule.name, self._given, "Give it to the program that builds the gateway."
                )
        self._rules = tuple(rules)
        self._loaded: list[tuple[TokenizerRule, Tokenizer]] = []

    async def load(self) -> None:
        """Load all of them, in a thread; raises what the tokenizers raise."""
        self._loaded = await asyncio.to_thread(lambda: [(rule, self._open(rule)) for rule in self._rules])

    def find(self, model: str) -> Tokenizer | None:
        """Find a model's tokenizer, or `None` where there is none, or nothing was loaded."""
        for rule, tokenizer in self._loaded:
            if build_model_test(rule.models).fullmatch(model):
                return tokenizer
        return None

    def _open(self, rule: TokenizerRule) -> Tokenizer:
        if rule.kind == "file":
            return FileTokenizer(rule.file)
        return self._given[rule.name] if rule.kind == "given" else VocabularyTokenizer(rule.kind)


def _check(text: str) -> str:
    """Raise `InvalidInput` for what is too long to be counted, and mend what is no text."""
    if len(text) > MOST_CHARS:
        raise InvalidInput(f"A text of {len(text)} characters is too long to be counted; at most {MOST_CHARS} are.")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
