"""With a key and a base URL, does any OpenAI-compatible server drive the shipped agents from the command line?"""

import asyncio
import json
import os
import sys
from pathlib import Path

from quorate import ToolCall
from quorate.testing.provider_server import provider_server

QUORATE = str(Path(sys.executable).parent / "quorate")


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


async def test_a_model_behind_a_key_streams_and_calls_the_real_tools(tmp_path: Path) -> None:
    """The model is offered the agent's tools, its calls are really made, and its answer is typed and recorded."""
    answer = {
        "applies": True,
        "summary": "Nothing listens on port 9.",
        "findings": [
            {
                "title": "Connection refused",
                "severity": "critical",
                "detail": "Port 9 is closed.",
                "evidence": [{"tool": "tcp_connect", "call_id": "call-1", "fact": "connect 127.0.0.1:9 refused"}],
            }
        ],
    }
    connect = ToolCall(id="call-1", name="tcp_connect", arguments='{"host":"127.0.0.1","ports":[9]}')
    async with provider_server([connect, json.dumps(answer)], key="a-key") as server:
        words = ("run", "--agent", "network-diagnostics", "--model", "openai:any-model", "is port 9 of 127.0.0.1 open?")
        code, out, err = await type_command(tmp_path, server.url, *words, "--json")
        document = json.loads(out)
        shown = await type_command(tmp_path, server.url, "runs", "show", document["run_id"], "--events")
    assert code == 0, err
    assert document["output"]["summary"] == "Nothing listens on port 9."
    assert (document["status"], document["cost_usd"]) == ("completed", None), "the price of that model is not known"
    assert all(sent.is_stream for sent in server.requests)
    assert "tcp_connect" in [tool["function"]["name"] for tool in server.requests[0].body["tools"]]  # type: ignore[index]
    measured = str(server.requests[1].body["messages"])  # type: ignore[index]
    assert "refused" in measured, "the model is told what was measured"
    assert "tcp_connect" in shown[1]
    assert "a-key" not in out + err + shown[1]


async def test_a_wrong_key_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    """The provider's refusal names what to mend, never the key."""
    async with provider_server(["never"], key="another-key") as server:
        words = ("run", "--agent", "network-diagnostics", "--model", "openai:any-model", "is port 9 open?", "--quiet")
        code, _, err = await type_command(tmp_path, server.url, *words)
    assert code != 0
    assert len(err.splitlines()) == 1
    assert "a-key" not in err
