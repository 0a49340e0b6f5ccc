"""Is a credential never seen, once it is in what is sent?"""

import pytest
from tests.unit.models.providers.test_calls import ALL, VALUES

from quorate.messages import build_user_message
from quorate.models.providers import find_dialect
from quorate.models.target import find_target
from quorate.specs import Request

CANARY = "canary-7f3a"
KEYS = (
    "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_ACCESS_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK", "MISTRAL_API_KEY", "GROQ_API_KEY",
)  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_what_is_sent_shows_neither_the_key_nor_the_words(name: str) -> None:
    values = VALUES | dict.fromkeys(KEYS, CANARY)
    target = find_target(name, credentials=values.get, base_urls={})
    dialect = find_dialect(target.provider)
    sending = dialect.encode(Request(messages=(build_user_message("a secret plan"),)), target)
    signed = dialect.sign(sending, target, credentials=values.get, now=1_700_000_000.0)
    assert CANARY not in repr(signed)
    assert CANARY not in signed.url
    assert "secret plan" not in repr(signed)
    assert repr(signed).startswith("<Sending POST http")
