"""Do the commands about models say what is known, what is missing, and what came of asking?"""

import asyncio
from pathlib import Path

import pytest

from quorate.testing.provider_server import Answer, Script, provider_server

KEY = "a-key-0123456789abcdef"
GATEWAY = """
[[provider]]
name = "shop"
base_url = "http://127.0.0.1:9/v1"

[[model]]
name = "shop:llama"
context_tokens = 8_000
price = { input = 0.1, output = 0.2 }

[[alias]]
name = "fast"
model = "openai:gpt-5-mini"

[[route]]
name = "smart"
models = ["anthropic:claude-haiku-4-5", "fast"]

[retry]
attempts = 1
"""


@pytest.fixture
def gateway(project: Path) -> Path:
    """A project with a gateway file."""
    file = project / "gateway.toml"
    file.write_text(GATEWAY, encoding="utf-8")
    (project / "quorate.toml").write_text('gateway = "gateway.toml"\n', encoding="utf-8")
    return file


async def ask(quorate, script: Script, *words: str, key: str | None = KEY):
    """Type a command while a provider is there, at the addresses of OpenAI and Anthropic."""
    async with provider_server(script, key=key) as server:
        env = {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": f"{server.origin}/anthropic/v1",
        }
        return await asyncio.to_thread(quorate, *words, env=env), server


def test_known_models_are_listed(quorate) -> None:
    """With context, price and abilities, chosen by provider and by what they can do; words and JSON."""
    done = quorate("models", "list", "--provider", "openai", "--capability", "vision", "--json")
    assert done.code == 0
    rows = done.json["models"]
    assert {row["provider"] for row in rows} == {"openai"}
    assert all("vision" in row["capabilities"] for row in rows)
    found = next(row for row in rows if row["name"] == "openai:gpt-5.2")
    assert (found["context_tokens"], found["price"]["input"]) == (400_000, 1.75)
    line = next(line for line in quorate("models", "list").out.splitlines() if line.startswith("openai:gpt-5.2 "))
    assert "$1.75 in, $14 out" in line
    assert "400k" in line


def test_the_names_of_the_gateway_file_are_listed(quorate, gateway: Path) -> None:
    """Aliases, routes, and models of one's own."""
    out = quorate("models", "list").out
    assert "smart  route by order" in out
    assert "shop:llama" in out
    words = quorate("models", "list", "--json").json["words"]
    assert {"name": "fast", "kind": "alias", "models": ["openai:gpt-5-mini"]} in words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--provider", "opnai"), "There is no model provider 'opnai'. Did you mean `openai`?"),
        (("--capability", "visoin"), "Did you mean `vision`?"),
        (("--remote",), "`--remote` asks one provider: name it, such as `--provider openai`."),
        (("--remote", "--provider", "openai"), "`openai` needs a key: set `OPENAI_API_KEY`"),
    ],
)
def test_a_wrong_wish_is_told(quorate, words: tuple[str, ...], said: str) -> None:
    """One line, with what to write instead."""
    done = quorate("models", "list", *words)
    assert done.code in {2, 7}
    assert said in done.err
    assert done.err.count("\n") == 1


async def test_a_provider_is_asked_for_its_models(quorate) -> None:
    """What is known of them is added; what is not is shown as such."""
    answer = Answer(models=("gpt-5.2", "brand-new"))
    done, server = await ask(quorate, [answer], "models", "list", "--remote", "--provider", "openai", "--json")
    assert done.code == 0, done.err
    rows = {row["name"]: row for row in done.json["models"]}
    assert rows["openai:gpt-5.2"]["price"]["output"] == 14
    assert rows["openai:brand-new"]["price"] is None
    assert server.requests[0].method == "GET"


def test_a_model_is_shown(quorate) -> None:
    """With what is set and what is missing, and no key in sight."""
    done = quorate("models", "show", "openai:gpt-5.2")
    assert done.code == 0
    assert "ready            no: `openai` needs a key: set `OPENAI_API_KEY`" in done.out
    done = quorate("models", "show", "openai:gpt-5.2", "--json", env={"OPENAI_API_KEY": KEY})
    assert done.json["is_ready"] is True
    assert {"name": "OPENAI_API_KEY", "purpose": "key", "is_set": True} in done.json["variables"]
    assert KEY not in done.out
    unknown = quorate("models", "show", "groq:brand-new").out
    assert "none: it is not listed here; it can be used all the same" in unknown
    assert "not known: a limit or a budget in dollars refuses it" in unknown


def test_a_route_is_shown_with_its_models(quorate, gateway: Path) -> None:
    """And an unknown word with the words there are."""
    done = quorate("models", "show", "smart", "--json")
    assert [row["name"] for row in done.json["models"]] == ["anthropic:claude-haiku-4-5", "openai:gpt-5-mini"]
    assert "tried at most  3" in quorate("models", "show", "smart").out
    assert "http://127.0.0.1:9/v1" in quorate("models", "show", "shop:llama").out
    done = quorate("models", "show", "smrt")
    assert (done.code, "Did you mean `smart`?" in done.err) == (2, True)


async def test_a_model_is_tried(quorate) -> None:
    """For real: the time, the tokens, the cost, and whether it streams; the call is booked."""
    done, server = await ask(quorate, ["ready"], "models", "test", "openai:gpt-5.2", "--json")
    assert done.code == 0, done.err
    said = done.json
    assert (said["ok"], said["model"], said["text"], said["streams"]) == (True, "openai:gpt-5.2", "ready", True)
    assert (said["usage"]["input_tokens"], said["usage"]["output_tokens"]) == (12, 7)
    assert said["cost_usd"] == pytest.approx((12 * 1.75 + 7 * 14) / 1e6)
    assert 0 < said["first_s"] <= said["total_s"]
    assert len(server.requests) == 1
    assert server.requests[0].is_stream
    done, _ = await ask(quorate, ["ready"], "models", "test", "openai:gpt-5.2")
    assert "streaming     yes" in done.out
    assert "last 7 days      2 calls answered, 0 cut, $0.0002" in quorate("models", "show", "openai:gpt-5.2").out


async def test_a_server_that_does_not_stream_is_told(quorate) -> None:
    """It answers in one piece, and that is said."""

    def answer(sent) -> Answer:
        return Answer(text="ready", content_type="application/json" if sent.is_stream else "")

    done, _ = await ask(quorate, answer, "models", "test", "openai:gpt-5.2", "--json")
    assert done.code == 0, done.err
    assert (done.json["text"], done.json["streams"]) == ("ready", False)


async def test_a_route_is_tried_with_its_failover(quorate, gateway: Path) -> None:
    """The first model is down, the second answers, and the reply says so. row: C16"""

    def answer(sent) -> Answer:
        return Answer(status=500) if "anthropic" in sent.path else Answer(text="ready")

    done, _ = await ask(quorate, answer, "models", "test", "smart", "--json")
    assert done.code == 0, done.err
    assert done.json["model"] == "openai:gpt-5-mini"
    assert done.json["route"]["tried"] == ["anthropic:claude-haiku-4-5 upstream_error"]


@pytest.mark.parametrize(
    ("answer", "code", "word", "advice"),
    [
        (Answer(status=401, code="invalid_api_key"), 7, "unauthenticated", "Set the key"),
        (Answer(status=404, code="model_not_found"), 2, "invalid_input", "quorate models list"),
        (Answer(status=500), 6, "upstream_error", "Look whether the server runs"),
        (Answer(status=429), 6, "rate_limited", "wants fewer calls"),
    ],
)
async def test_a_failed_try_says_what_to_do(
    quorate, gateway: Path, answer: Answer, code: int, word: str, advice: str
) -> None:
    """With an exit code of its own, in words and as JSON."""
    done, _ = await ask(quorate, [answer] * 3, "models", "test", "fast", "--json")
    assert done.code == code
    assert done.json["ok"] is False
    assert done.json["error"]["code"] == word
    done, _ = await ask(quorate, [answer] * 3, "models", "test", "fast")
    assert (done.code, done.out) == (code, "")
    assert advice in done.err
    assert KEY not in done.err


def test_a_server_that_is_not_there_is_told(quorate, gateway: Path) -> None:
    """Where it was looked for, and what to look at."""
    done = quorate("models", "test", "shop:llama")
    assert done.code == 6
    assert "127.0.0.1:9 cannot be reached" in done.err
    assert "Look whether the server runs" in done.err


def test_a_gateway_file_is_checked(quorate, gateway: Path) -> None:
    """All faults at once with their lines, by every command that looks at settings."""
    assert quorate("models", "check").out.startswith("No faults in ")
    assert quorate("config", "check").code == 0
    gateway.write_text('[[alias]]\nname = "fast"\nmodel = "opnai:x"\n[retry]\natempts = 3\n', encoding="utf-8")
    done = quorate("models", "check", "--json")
    assert done.code == 2
    assert [fault.split(" ")[0] for fault in done.json["faults"]] == ["gateway.toml:3:", "gateway.toml:5:"]
    assert "did you mean `attempts`?" in done.err
    checked = quorate("config", "check", "--json")
    assert (checked.code, checked.json["faults"]) == (2, done.json["faults"])
    found = [check for check in quorate("doctor", "--json").json["checks"] if check["name"] == "gateway"]
    assert [check["detail"] for check in found] == done.json["faults"]
    assert quorate("run", "watch the disk", "-q").code == 2


def test_without_a_gateway_file_there_is_nothing_to_check(quorate) -> None:
    """And that is said."""
    done = quorate("models", "check")
    assert (done.code, "There is no gateway file" in done.err) == (2, True)


AGENT = """+++
name = "poet"
version = "1"
description = "Writes a line."
tier = "task"
domain = "words"
triggers = ["write a line"]
output = "text"
examples = ["write a line"]
+++
You write one line.
"""


async def test_an_agent_is_run_through_the_gateway(quorate, gateway: Path, project: Path) -> None:
    """`--model` takes a route; the run's log says which model answered, and why not the other."""
    (project / "agents/poet.md").write_text(AGENT, encoding="utf-8")
    settings = 'gateway = "gateway.toml"\nmodel = "smart"\n[agents]\ndirectories = ["agents"]\n'
    (project / "quorate.toml").write_text(settings, encoding="utf-8")

    def answer(sent) -> Answer:
        return Answer(status=500) if "anthropic" in sent.path else Answer(text="A line.")

    done, _ = await ask(quorate, answer, "run", "--agent", "poet", "-q", "--json", "write a line")
    assert done.code == 0, done.err
    events = quorate("runs", "show", done.json["run_id"], "--events", "--json").out
    assert '"openai:gpt-5-mini"' in events
    assert "anthropic:claude-haiku-4-5 upstream_error" in events
