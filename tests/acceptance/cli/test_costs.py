"""Are runs from the command line booked, and do the sums equal their logs?"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from quorate import ToolCall
from quorate.messages import Usage
from quorate.testing.provider_server import provider_server
from quorate.testing.provider_server.script import Answer

QUORATE = str(Path(sys.executable).parent / "quorate")
ANSWER = {"applies": True, "summary": "Nothing listens on port 9.", "findings": []}


async def type_command(home: Path, url: str, *words: str) -> tuple[int, str, str]:
    """Run the installed command with nothing but a key and a base URL in its environment."""
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env |= {
        "HOME": str(home),
        "OPENAI_API_KEY": "a-key",
        "OPENAI_BASE_URL": url,
        "QUORATE_DATABASE": str(home / "q.db"),
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(QUORATE, *words, cwd=home, env=env, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_runs_cost_is_what_the_book_says(tmp_path: Path) -> None:
    """Two runs of two calls each: `quorate costs` and the runs' own sums are the same. row: A17"""
    connect = ToolCall(id="call-1", name="tcp_connect", arguments='{"host":"127.0.0.1","ports":[9]}')
    usage = Usage(input_tokens=1234, output_tokens=56, cached_tokens=100)
    script = [Answer(calls=(connect,), usage=usage), Answer(text=json.dumps(ANSWER), usage=usage)] * 2
    total = 0.0
    async with provider_server(script, key="a-key") as server:
        for _ in range(2):
            words = ("run", "--agent", "network-diagnostics", "--model", "openai:gpt-5.2", "is port 9 open?", "--json")
            code, out, err = await type_command(tmp_path, server.url, *words)
            assert code == 0, err
            total += json.loads(out)["cost_usd"]
    assert total == pytest.approx(4 * (1134 * 1.75 + 100 * 0.175 + 56 * 14) / 1e6)
    code, out, err = await type_command(tmp_path, "", "costs", "--by", "agent", "--by", "model", "--json")
    assert code == 0, err
    report = json.loads(out)
    (line,) = report["lines"]
    assert (line["agent"], line["model"], line["calls"]) == ("network-diagnostics", "openai:gpt-5.2", 4)
    assert line["cost_usd"] == pytest.approx(total)
    assert report["total"]["input_tokens"] == 4 * 1234
    code, out, _ = await type_command(tmp_path, "", "costs", "verify")
    assert code == 0
    assert "Every reply in a log is booked." in out


async def test_a_run_that_cannot_be_paid_for_is_incomplete(tmp_path: Path) -> None:
    """The call is not made; the exit code says that a limit was met, and the words which."""
    async with provider_server(["never"], key="a-key") as server:
        words = ("run", "--agent", "network-diagnostics", "--model", "openai:gpt-5.2", "--limit", "cost_usd=0.0001")
        code, out, err = await type_command(tmp_path, server.url, *words, "is port 9 open?")
        assert not server.requests
    assert code == 4
    assert "The budget 'cost_usd' of $0.0001" in out + err
