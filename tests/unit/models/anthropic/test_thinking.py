"""Is each model told how hard to think in the way it knows?"""

import json

import pytest

from quorate.errors import InvalidInput
from quorate.messages import build_user_message
from quorate.models.providers import anthropic
from quorate.models.target import find_target
from quorate.specs import ModelSettings, Request, ToolSpec

SHOWN = {"type": "adaptive", "display": "summarized"}


def write(model: str, **settings: object) -> tuple[object, object]:
    target = find_target(f"anthropic:{model}", credentials={}.get, base_urls={})
    asked = Request(
        messages=(build_user_message("Hi"),), tools=(ToolSpec(name="look"),), settings=ModelSettings(**settings)
    )
    body = json.loads(anthropic.encode(asked, target).body)
    return body.get("thinking"), body.get("output_config")


@pytest.mark.parametrize(
    ("model", "word", "thinking", "config"),
    [
        ("claude-opus-5-5", "high", SHOWN, {"effort": "high"}),
        ("claude-sonnet-5-5", "low", SHOWN, {"effort": "low"}),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
        ("claude-opus-4-6", "medium", SHOWN, {"effort": "medium"}),
        ("claude-haiku-4-5", "none", {"type": "disabled"}, None),
        ("claude-haiku-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-haiku-4-5-20251001", "high", {"type": "enabled", "budget_tokens": 16384}, None),
        ("claude-tomorrow", "low", SHOWN, {"effort": "low"}),
    ],
)
def test_words_become_what_the_model_knows(model: str, word: str, thinking: object, config: object) -> None:
    assert write(model, reasoning=word) == (thinking, config)


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-haiku-4-5"])
def test_nothing_is_said_when_nothing_was_asked(model: str) -> None:
    assert write(model) == (None, None)


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("claude-opus-5-5", {"reasoning": "none"}, "does not know 'none' as `reasoning`; it knows `low`, `medium`, `high`"),
        ("claude-sonnet-5-5", {"reasoning": "minimal"}, "does not know 'minimal' as `reasoning`; it knows `none`, `low`"),
        ("claude-haiku-4-5", {"reasoning": "high", "max_tokens": 16384}, "takes 16384 tokens, and `max_tokens` is 16384"),
        ("claude-haiku-4-5", {"reasoning": "low", "tool": "look"}, "cannot think where a tool call is demanded"),
        ("claude-haiku-4-5", {"reasoning": "low", "tool_choice": "required"}, "cannot think where"),
        ("claude-haiku-4-5", {"reasoning": "low", "temperature": 0.5}, "no `temperature`: it is asked to think"),
        ("claude-opus-4-6", {"reasoning": "low", "top_k": 5}, "no `top_k`: it is asked to think"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused(model: str, settings: dict, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        write(model, **settings)
