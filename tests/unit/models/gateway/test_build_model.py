"""Does a model's name become the right model, or a message that helps?"""

import pytest

from quorate.errors import InvalidInput, Unauthenticated, UnknownName
from quorate.models.addresses import Guard
from quorate.models.gateway import build_model
from quorate.models.target import find_target

KEYS = {"OPENAI_API_KEY": "k"}


def find(name: str, **env: str) -> tuple[str, Guard]:
    target = find_target(name, credentials=env.get, base_urls={})
    return target.base_url, target.guard


def test_a_known_model_has_its_facts() -> None:
    profile = build_model("openai:gpt-5.2", credentials=KEYS.get).profile
    assert (profile.name, profile.provider, profile.context_tokens) == ("openai:gpt-5.2", "openai", 400_000)
    assert profile.priced
    assert profile.native_output


def test_an_unknown_model_is_allowed_and_has_no_price() -> None:
    """A cost limit cannot hold for it, and the profile says so."""
    profile = build_model("openai:my-own", credentials=KEYS.get).profile
    assert not profile.priced
    assert profile.context_tokens is None


def test_a_model_name_may_hold_colons_and_slashes() -> None:
    assert build_model("ollama:org/qwen3:8b", credentials={}.get).profile.name == "ollama:org/qwen3:8b"


def test_the_environment_may_say_where_the_provider_is() -> None:
    """What the operator named may be private; what the table names may not."""
    assert find("openai:x") == ("https://api.openai.com/v1", Guard(scheme="https"))
    own = "http://10.0.0.5:8000/v1"
    assert find("openai:x", OPENAI_BASE_URL=own) == (own, Guard(scheme="http", private=True))
    same = "https://api.openai.com/v1/"
    assert find("openai:x", OPENAI_BASE_URL=same) == (same, Guard(scheme="https"))
    assert find("ollama:x")[1] == Guard(scheme="http", private=True)


def test_an_argument_goes_before_the_environment() -> None:
    target = find_target(
        "openai:x", credentials={"OPENAI_BASE_URL": "https://b.test"}.get, base_urls={"openai": "https://a.test"}
    )
    assert target.base_url == "https://a.test"


def test_a_missing_key_names_its_variable_and_the_way_without() -> None:
    with pytest.raises(Unauthenticated) as caught:
        build_model("openai:gpt-5.2", credentials={}.get)
    assert str(caught.value) == (
        "`openai` needs a key: set `OPENAI_API_KEY`, or use `--model playbook`, which needs none."
    )


@pytest.mark.parametrize("key", ["two words", "k\r\nX-Evil: 1", "schlüssel", "k\0"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    with pytest.raises(Unauthenticated, match="OPENAI_API_KEY") as caught:
        build_model("openai:gpt-5.2", credentials={"OPENAI_API_KEY": key}.get)
    assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["openai", "openai:", "openai:a b", "openai:\n", "openai:" + "x" * 129])
def test_a_name_without_a_model_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="names no model"):
        build_model(name, credentials=KEYS.get)


@pytest.mark.parametrize(("name", "near"), [("opneai:gpt-5.2", "openai"), ("gpt-5.2", "provider:model"), ("", "Known")])
def test_an_unknown_provider_is_suggested(name: str, near: str) -> None:
    with pytest.raises(UnknownName, match=near):
        build_model(name, credentials=KEYS.get)


def test_a_bad_base_url_names_its_variable() -> None:
    with pytest.raises(InvalidInput, match="`OPENAI_BASE_URL` must begin"):
        build_model("openai:x", credentials={**KEYS, "OPENAI_BASE_URL": "localhost:8000"}.get)


def test_no_text_form_of_a_model_shows_its_key() -> None:
    model = build_model("openai:x", credentials={"OPENAI_API_KEY": "sk-canary"}.get)
    assert "canary" not in f"{model!r} {model.inner!r} {model.inner.inner.target!r}"
