"""Does what a tenant wrote stay with the tenant: never the operator's files, keys or network?"""

from pathlib import Path

import pytest

from quorate.errors import Forbidden, InvalidInput, QuorateError, Unauthenticated
from quorate.models.grants import read_source
from quorate.models.target import Target, find_target

VALUES = {"GOOGLE_CLOUD_LOCATION": "eu", "GOOGLE_CLOUD_PROJECT": "p"}
NAMES = ("openai", "anthropic", "gemini", "ollama", "bedrock", "azure", "vertex", "mistral")


def find(name: str, *, is_trusted: bool, **base_urls: str) -> Target:
    return find_target(name, credentials=VALUES.get, base_urls=base_urls, is_trusted=is_trusted)


def test_a_file_on_this_machine_is_an_operators_alone(tmp_path: Path) -> None:
    """A tenant may give a credential's text, and no path: the file there would be somebody else's."""
    file = tmp_path / "key.json"
    file.write_text('{"type": "canary"}')
    assert read_source(str(file), find("vertex:m", is_trusted=True)) == '{"type": "canary"}'
    untrusted = find("vertex:m", is_trusted=False)
    assert read_source('  {"type": "own"}', untrusted) == '  {"type": "own"}'
    for path in (str(file), "/etc/passwd", str(tmp_path / "absent")):
        with pytest.raises(Unauthenticated, match="give its text") as caught:
            read_source(path, untrusted)
        assert path not in str(caught.value)


def test_what_reaches_the_network_by_itself_is_an_operators_alone() -> None:
    """LiteLLM guards no address, and reads this machine's own environment where it was given no key."""
    assert find("litellm:groq/x", is_trusted=True).is_trusted
    with pytest.raises(Forbidden, match="`litellm` reaches the network by itself"):
        find("litellm:groq/x", is_trusted=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@x.test/v1", "file:///hunter2", "https://x.test/v1?a=hunter2", "https://x.test/\r\nX: hunter2",
        "gopher://hunter2", "https://", "hunter2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_a_tenants_address_is_a_plain_one(name: str, url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        find(f"{name}:m", is_trusted=False, **{name: url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_tenants_address_is_a_public_one(name: str) -> None:
    """What leads inside is refused when it is connected to, whatever its name."""
    for url in ("http://169.254.169.254/latest", "https://x.test/v1"):
        guard = find(f"{name}:m", is_trusted=False, **{name: url}).guard
        assert not guard.private
        for address in ("169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "fd00:ec2::254"):
            with pytest.raises(Forbidden):
                guard.check(address, "x.test")


@pytest.mark.parametrize("name", ["gpt\r\nX-Evil: 1", "a b", "x" * 129, "", "gpt\x00"])
def test_a_models_name_is_one_word(name: str) -> None:
    with pytest.raises(QuorateError, match="names no model"):
        find(f"openai:{name}", is_trusted=False)
