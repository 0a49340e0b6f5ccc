"""Is a request counted once, and counted right?"""

from msgspec import structs

from quorate.messages import build_user_message
from quorate.models.sizing import Estimator
from quorate.models.tokens import estimate_request
from quorate.specs import ModelSettings, OutputSpec, Request, ToolSpec

PLAIN = Request(messages=(build_user_message("How are you today, and what is new? " * 20),), instructions="Be kind.")
VARIANTS = [
    PLAIN,
    structs.replace(PLAIN, messages=(build_user_message("Hi"),)),
    structs.replace(PLAIN, instructions="Be brief, and do not say more than you were asked for."),
    structs.replace(PLAIN, tools=(ToolSpec(name="look", description="Looks up what is there."),)),
    structs.replace(PLAIN, output=OutputSpec(name="o", json_schema={"type": "object"})),
]
MODELS = ["", "openai:gpt-5.2", "anthropic:claude-sonnet-4-5", "gemini:gemini-3-pro"]


def test_it_counts_what_the_estimate_counts_for_each_model() -> None:
    count = Estimator()
    for _ in range(2):
        for request in VARIANTS:
            for model in MODELS:
                assert count(request, model) == estimate_request(request, model)


def test_other_settings_are_the_same_request() -> None:
    """A budget that holds an answer short does not change what is read."""
    count = Estimator()
    short = structs.replace(PLAIN, settings=ModelSettings(max_tokens=5))
    assert count(short) == count(PLAIN) == estimate_request(PLAIN)


def test_names_that_anybody_may_think_of_are_not_held_for_ever() -> None:
    count = Estimator()
    for number in range(3000):
        count(PLAIN, f"x:model-{number}")
    assert len(count._families) <= 1024
