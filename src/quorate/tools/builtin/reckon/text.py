"""How long, how varied and how repetitive is a text?"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from msgspec import Struct

from quorate.tools.builtin.checks import clean, read_source
from quorate.tools.workspace import Workspace

WORDS_PER_MINUTE = 200
MAX_TOP = 20
MAX_BYTES = 5_000_000
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]{1,10}[\"'”’)\]]{0,5}(?=\s|$)|[。！？]")
_COMMON = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "has", "have", "in", "is", "it"),
        *("its", "not", "of", "on", "or", "that", "the", "their", "they", "this", "to", "was", "were", "which", "with"),
    )
)


class WordCount(Struct, frozen=True, kw_only=True):
    """A word and how often it comes."""

    word: str
    count: int


class TextReport(Struct, frozen=True, kw_only=True):
    """How long, varied and repetitive a text is."""

    path: str
    words: int
    sentences: int
    paragraphs: int
    lines: int
    characters: int
    longest_sentence_words: int
    longest_sentence: str
    """How it begins."""
    mean_sentence_words: float
    long_sentences: int
    """Sentences of more than 30 words."""
    reading_minutes: float
    unique_words: int
    top_words: tuple[WordCount, ...]
    """The most frequent, without the commonest of English."""
    repeated_lines: tuple[str, ...]
    """Lines of some length that come more than once."""
    doubled_words: int
    """Places where a word stands twice in a row."""


def measure_text(workspace: Workspace, path: str) -> TextReport:
    """Measure a text file.

    Raises:
        ToolError: The name is refused or missing, or it is no text.
    """
    text = read_source(workspace, path, max_bytes=MAX_BYTES).text
    words = [word.lower() for word in _WORD.findall(text)]
    sentences = [(len(_WORD.findall(one)), one) for one in _SENTENCE_END.split(text)]
    sentences = [(count, one) for count, one in sentences if count]
    longest = max(sentences, key=lambda pair: pair[0], default=(0, ""))
    lines = Counter(line.strip() for line in text.splitlines())
    counts = Counter(words)
    return TextReport(
        path=path,
        words=len(words),
        sentences=len(sentences),
        paragraphs=len([part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]),
        lines=len(text.splitlines()),
        characters=len(text),
        longest_sentence_words=longest[0],
        longest_sentence=clean(" ".join(longest[1].split()), 200),
        mean_sentence_words=round(len(words) / len(sentences), 1) if sentences else 0.0,
        long_sentences=sum(count > 30 for count, _ in sentences),
        reading_minutes=round(len(words) / WORDS_PER_MINUTE, 1),
        unique_words=len(counts),
        top_words=tuple(
            WordCount(word=clean(word, 60), count=count)
            for word, count in counts.most_common(MAX_TOP + len(_COMMON))
            if word not in _COMMON and len(word) > 1
        )[:MAX_TOP],
        repeated_lines=tuple(
            clean(line, 200) for line, count in lines.most_common(200) if count > 1 and len(line) > 30
        )[:MAX_TOP],
        doubled_words=sum(one == other and one.isalpha() for one, other in pairwise(words)),
    )
