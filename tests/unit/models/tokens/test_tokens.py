"""Are tokens counted truly where that can be, and near enough elsewhere?"""

import time

import pytest

from quorate.messages import (
    Audio,
    File,
    Image,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    build_user_message,
)
from quorate.models.tokens import (
    CL100K,
    CLAUDE,
    GEMINI,
    O200K,
    OTHER,
    Family,
    Tokenizer,
    count_request,
    count_text,
    estimate_request,
    estimate_text,
    find_family,
)
from quorate.specs import OutputSpec, Request, ToolSpec

PROSE = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood. "
)


class Words:
    """A tokenizer for tests: a word is a token."""

    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


class Source:
    def find(self, model: str) -> Tokenizer | None:
        return Words() if model == "mine:x" else None


# Counted once with the public vocabularies.
@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        (PROSE, 34, 34),
        ('def add(a: int, b: int) -> int:\n    """Add two numbers."""\n    return a + b\n', 25, 25),
        ('{"id": 17, "name": "user 17", "active": false, "tags": ["alpha", "beta"]}', 29, 28),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах.", 17, 35),
        ("人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。", 24, 33),
        ("b3f1c0aa5d9e4f7788e2d6a1" * 20, 420, 420),
    ],
)
def test_estimates_are_near_what_tokenizers_count(text: str, o200k: int, cl100k: int) -> None:
    """From 0.6 to 2 times the count, for each family that was measured."""
    assert 0.6 * o200k <= estimate_text(text, O200K) <= 2.1 * o200k
    assert 0.6 * cl100k <= estimate_text(text, CL100K) <= 2.1 * cl100k


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai:gpt-5.2", O200K),
        ("openai:gpt-4o-mini", O200K),
        ("openai:gpt-4", CL100K),
        ("openai:gpt-4-turbo", CL100K),
        ("openrouter:openai/gpt-4.1", O200K),
        ("anthropic:claude-sonnet-5", CLAUDE),
        ("bedrock:us.anthropic.claude-sonnet-5-v1:0", CLAUDE),
        ("google:gemini-3-pro", GEMINI),
        ("mistral:mistral-large", OTHER),
        ("scripted", OTHER),
    ],
)
def test_a_model_belongs_to_a_family(model: str, family: Family) -> None:
    """By the beginning of its name, whoever serves it."""
    assert find_family(model) is family


def test_nothing_has_no_tokens_and_more_has_more() -> None:
    """The empty text, and twice a text."""
    assert estimate_text("") == 0
    assert estimate_text("a") == 1
    assert estimate_text(PROSE * 2) > estimate_text(PROSE)
    assert estimate_text(PROSE, CLAUDE) > estimate_text(PROSE)


def test_a_long_text_is_sampled() -> None:
    """The work for a text is bounded, and the estimate is that of the whole."""
    long = PROSE * 50_000
    took: list[float] = []
    for _ in range(10):
        begun = time.perf_counter()
        sampled = estimate_text(long)
        took.append(time.perf_counter() - begun)
    assert sampled == pytest.approx(50_000 * estimate_text(PROSE), rel=0.05)
    assert min(took) < 0.02, "the quickest says what it costs, the others what else the machine does"


def test_everything_in_a_request_counts() -> None:
    """Instructions, tools, schema, calls, results, pictures, sound and files."""
    base = Request(messages=(build_user_message("hi"),))
    least = estimate_request(base)
    assert 5 <= least <= 12
    call = ToolCall(id="1", name="look", arguments='{"a": 1}')
    parts = [
        Text(text=PROSE), Thinking(text=PROSE), call, ToolResult(call_id="1", name="look", content=PROSE),
        ToolResult(call_id="1", name="look", content=(Text(text=PROSE), Image(data=b"x"))), Image(url="https://x/y.png"),
        Audio(data=b"x" * 100_000), Audio(url="https://x/y.wav"), File(media_type="text/plain", data=PROSE.encode()),
        File(media_type="application/pdf", data=b"x" * 50_000), File(media_type="application/pdf", url="https://x/y"),
    ]  # fmt: skip
    for part in parts:
        more = Request(messages=(*base.messages, Message(role="user", parts=(part,))))
        assert estimate_request(more) >= least + 10
    assert estimate_request(Request(messages=base.messages, instructions=PROSE)) > least + 20
    assert (
        estimate_request(Request(messages=base.messages, tools=(ToolSpec(name="f", description=PROSE),))) > least + 20
    )
    assert estimate_request(Request(messages=base.messages, output=OutputSpec(name="o", json_schema={"a": 1}))) > least
    assert estimate_request(base, "anthropic:claude-sonnet-5") >= least


def test_a_count_says_how_it_is_known() -> None:
    """Exact by a tokenizer of the model, else an estimate that calls itself one."""
    exact = count_text("one two three", "mine:x", tokenizers=Source())
    assert (exact.count, exact.exact, exact.by) == (3, True, "words")
    guess = count_text("one two three", "openai:gpt-5.2", tokenizers=Source())
    assert (guess.exact, guess.by) == (False, "estimate for o200k")
    assert count_text("one two three", "mine:x").exact is False


def test_a_request_is_never_counted_exactly() -> None:
    """Words by the tokenizer, framing by estimate, as no provider says how it frames."""
    request = Request(
        instructions="be brief",
        messages=(
            build_user_message("one two three"),
            Message(role="assistant", parts=(ToolCall(id="1", name="f"),)),
            Message(role="tool", parts=(ToolResult(call_id="1", name="f", content=(Image(), Text(text="a b"))),)),
        ),
        tools=(ToolSpec(name="f", description="does it"),),
    )
    counted = count_request(request, "mine:x", tokenizers=Source())
    assert (counted.exact, counted.by) == (False, "words, framing estimated")
    assert counted.count > 1100
    guess = count_request(request, "openai:gpt-5.2", tokenizers=Source())
    assert (guess.count, guess.by) == (estimate_request(request, "openai:gpt-5.2"), "estimate for o200k")
