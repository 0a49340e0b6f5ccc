"""Do real tokenizers count, found by model and loaded from what is at hand?"""

import json
from pathlib import Path

import pytest

from quorate.errors import InvalidInput, UnknownName
from quorate.models.tokenizers import MOST_CHARS, FileTokenizer, TokenizerRule, Tokenizers, VocabularyTokenizer
from quorate.models.tokens import count_text


class Words:
    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A tokenizer that knows three words."""
    path = tmp_path / "tokenizer.json"
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"one": 0, "two": 1, "?": 2}, "unk_token": "?"},
    }  # fmt: skip
    path.write_text(json.dumps(tokenizer))
    return str(path)


@pytest.mark.parametrize(
    ("text", "count"),
    [("tiktoken is great!", 6), ("", 0), ("a", 1), ("<|endoftext|>", 7), ("a\ud800", 2)],
)
def test_openai_vocabularies_are_counted_exactly(text: str, count: int) -> None:
    """As OpenAI counts them; what looks like a control token in a text is text."""
    assert VocabularyTokenizer("o200k").count(text) == count
    assert VocabularyTokenizer("cl100k").name == "cl100k_base"


def test_a_file_is_counted_with(file: str) -> None:
    """The file that makers of open models publish."""
    tokenizer = FileTokenizer(file)
    assert (tokenizer.count("one two three"), tokenizer.name) == (3, "tokenizer.json")


async def test_rules_say_who_counts(file: str) -> None:
    """The first that fits, once all were loaded."""
    tokenizers = Tokenizers(
        [
            TokenizerRule(models=("openai:gpt-5*",), kind="o200k"),
            TokenizerRule(models=("ollama:*",), kind="file", file=file),
            TokenizerRule(models=("mine:x", "ollama:*"), kind="given", name="words"),
        ],
        given={"words": Words()},
    )
    assert tokenizers.find("mine:x") is None
    await tokenizers.load()
    counted = count_text("one two", "openai:gpt-5.2", tokenizers=tokenizers)
    assert (counted.count, counted.exact, counted.by) == (2, True, "o200k_base")
    assert count_text("one two", "ollama:qwen", tokenizers=tokenizers).by == "tokenizer.json"
    assert count_text("one two", "mine:x", tokenizers=tokenizers).by == "words"
    assert count_text("one two", "anthropic:claude", tokenizers=tokenizers).exact is False


def test_rules_that_cannot_hold_are_refused() -> None:
    """Before anything is loaded."""
    with pytest.raises(InvalidInput, match='has `kind = "file"`: give `file`, too'):
        Tokenizers([TokenizerRule(models=("x",), kind="file")])
    with pytest.raises(UnknownName, match="There is no tokenizer 'word'"):
        Tokenizers([TokenizerRule(models=("x",), kind="given", name="word")], given={"words": Words()})


async def test_what_is_no_tokenizer_is_said(tmp_path: Path) -> None:
    """With its path."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(InvalidInput, match=r"x\.json' is no `tokenizer\.json`"):
        await Tokenizers([TokenizerRule(models=("x",), kind="file", file=str(path))]).load()


def test_a_text_may_be_too_long() -> None:
    """Counting must not hold up everything else."""
    with pytest.raises(InvalidInput, match="too long to be counted"):
        VocabularyTokenizer("o200k").count("x" * (MOST_CHARS + 1))
