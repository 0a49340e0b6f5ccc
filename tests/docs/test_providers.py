"""Does the example on each provider's page run, against a server that speaks that provider's format?

Nothing of the example is changed: the address and the key come from the environment, as a user would set them.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.test_examples import FENCE

from quorate import ToolCall
from quorate.models.facts import load_table
from quorate.testing.provider_server import ProviderServer, provider_server

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/how-to/providers"
KEY = "a-key-0123456789"
PLACES: dict[str, Callable[[ProviderServer], dict[str, str]]] = {
    "openai": lambda server: {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url},
    "azure": lambda server: {"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": server.origin},
    "anthropic": lambda server: {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": f"{server.origin}/anthropic/v1"},
    "gemini": lambda server: {"GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": f"{server.origin}/v1beta"},
    "vertex": lambda server: {
        "GOOGLE_ACCESS_TOKEN": KEY,
        "VERTEX_BASE_URL": f"{server.origin}/v1/projects/my-project/locations/europe-west4",
    },
    "bedrock": lambda server: {
        "AWS_REGION": "us-east-1",
        "AWS_BEARER_TOKEN_BEDROCK": KEY,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.origin,
    },
    "ollama": lambda server: {"OLLAMA_BASE_URL": server.origin},
    "litellm": lambda server: {"NOVITA_API_KEY": KEY, "LITELLM_API_BASE": server.url},
    "openai-compatible": lambda server: {"VLLM_BASE_URL": server.url},
}
"""For each page, what a user sets."""
SCRIPT = (ToolCall(id="call-1", name="read_clock"), "It is five past twelve.")


def read_example(page: Path) -> str:
    """The first Python block of a page."""
    found = FENCE.search(page.read_text(encoding="utf-8"))
    assert found, f"{page.name} has no example"
    return found[2]


def test_every_page_is_tried() -> None:
    """A page for each provider's room, and no page without a server."""
    assert {page.stem for page in PAGES.glob("*.md")} == set(PLACES)


@pytest.mark.parametrize("name", sorted(PLACES))
def test_an_example_is_short(name: str) -> None:
    """Ten lines, empty ones aside: whoever pastes it reads it first."""
    lines = [line for line in read_example(PAGES / f"{name}.md").splitlines() if line.strip()]
    assert len(lines) <= 10


@pytest.mark.parametrize("name", sorted(PLACES))
async def test_the_example_of_a_provider_runs(name: str, tmp_path: Path) -> None:
    """The tool is called and the answer comes, in the provider's own words. row: B9"""
    if name == "litellm":
        pytest.importorskip("litellm", reason="needs the extra `litellm`")
    (tmp_path / "example.py").write_text(read_example(PAGES / f"{name}.md"), encoding="utf-8")
    async with provider_server(SCRIPT) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "example.py",
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)} | PLACES[name](server),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert re.match(r"It is five past twelve\. \(\d+ tokens\)\n$", out.decode()), out.decode()
    assert len(server.requests) == 2


def test_every_provider_is_on_a_page() -> None:
    """With the names of its variables, so that nobody has to guess them."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    for name, row in load_table().providers.items():
        assert f"`{name}:" in text, f"no page names `{name}:`"
        missing = [each for each in (row.key_env, row.token_env, row.base_url_env) if each and f"{each}" not in text]
        assert not missing, f"no page of {name!r} names {missing}"
