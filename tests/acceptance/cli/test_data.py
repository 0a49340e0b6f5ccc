"""Do the commands about agents, tools and settings tell what is there?"""

from pathlib import Path


def test_agents_are_listed_shown_and_found(quorate) -> None:
    """In words and as JSON; a search says why. row: C17"""
    assert "disk-watch" in quorate("agents", "list").out
    assert [a["name"] for a in quorate("agents", "list", "--domain", "storage", "--json").json] == ["disk-watch"]
    shown = quorate("agents", "show", "disk-watch")
    assert 'quorate run --agent disk-watch "watch the disk"' in shown.out
    assert quorate("agents", "show", "disk-watch", "--json").json["tools"] == ["disk_usage"]
    found = quorate("agents", "find", "disk watch", "--json", "--limit", "3").json
    assert found[0]["agent"] == "disk-watch"
    assert found[0]["reason"]
    assert quorate("agents", "find", "zzzzzz").code == 1
    assert "no faults" in quorate("agents", "check").out


def test_agents_of_a_directory_are_checked(quorate, tmp_path: Path) -> None:
    """Without settings that name it; a directory that is not there is a fault."""
    assert quorate("agents", "check", str(tmp_path / "none")).code == 2
    (tmp_path / "empty").mkdir()
    assert quorate("agents", "check", str(tmp_path / "empty")).code == 0


def test_a_request_for_nobody_is_refused(quorate) -> None:
    """It is not sent to the first agent; the message shows what would match. row: C17"""
    done = quorate("run", "bake a chocolate cake")
    assert done.code == 2
    assert "No agent is for the request" in done.err
    assert quorate("runs", "list", "--json").json == []


def test_tools_are_listed_and_shown(quorate) -> None:
    """With what a second call does, and the schema of the arguments. row: C17"""
    assert "disk_usage" in quorate("tools", "list").out
    specs = quorate("tools", "list", "--json").json
    assert {"name", "description", "parameters"} <= specs[0].keys()
    shown = quorate("tools", "show", "read_file")
    assert '"path"' in shown.out
    assert quorate("tools", "show", "read_file", "--json").json["spec"]["name"] == "read_file"


def test_a_tool_is_called_by_hand(quorate, project: Path) -> None:
    """With arguments one by one, or as JSON; the result is what it measured. row: C17"""
    (project / "notes.txt").write_text("one\ntwo\x1b[2J\n", encoding="utf-8")
    done = quorate("tools", "call", "read_file", "--arg", "path=notes.txt")
    assert done.code == 0
    assert "two" in done.out
    assert "\x1b" not in done.out
    whole = quorate("tools", "call", "read_file", "--json-args", '{"path": "notes.txt"}', "--json")
    assert whole.json["ok"] is True
    assert "two\x1b[2J" in str(whole.json["result"]["text"] if "text" in whole.json["result"] else whole.json["result"])


def test_a_tool_that_cannot_do_it_says_why(quorate) -> None:
    """Bad arguments are wrong input; a file that is not there is a failed call. row: C17"""
    bad = quorate("tools", "call", "read_file", "--arg", "pth=x")
    assert bad.code == 2
    assert "pth" in bad.err
    gone = quorate("tools", "call", "read_file", "--arg", "path=none.txt")
    assert gone.code == 1
    assert "none.txt" in gone.err
    assert quorate("tools", "call", "read_file", "--arg", "path=none.txt", "--json").json["ok"] is False
    assert quorate("tools", "call", "read_file", "--json-args", "{oops").code == 2


def test_settings_are_checked(quorate, project: Path) -> None:
    """Exit code 0 without faults; else 2, and a line for each with file, line and key. row: C6"""
    good = quorate("config", "check")
    assert good.code == 0
    assert "quorate.toml" in good.out
    (project / "quorate.toml").write_text("modle = 'x'\n[limits]\nsteps = 'x'\n", encoding="utf-8")
    bad = quorate("config", "check", env={"QUORATE_LOG_LEVEL": "loud"})
    assert bad.code == 2
    assert bad.err.splitlines()[0] == "quorate: 3 faults in the settings:"
    assert "  quorate.toml:1: `modle` is no setting; did you mean `model`?" in bad.err
    assert "  quorate.toml:3: `limits.steps`: " in bad.err
    assert "  environment: `QUORATE_LOG_LEVEL`: 'loud' is unknown" in bad.err
    assert len(quorate("config", "check", "--json").json["faults"]) == 2
    assert quorate("run", "watch the disk").code == 2


def test_settings_are_shown_without_secrets(quorate, project: Path) -> None:
    """Each with the place it comes from. row: C6"""
    env = {"OPENAI_API_KEY": "sk-live-0123456789abcdef", "QUORATE_ENV": "staging"}
    shown = quorate("config", "show", env=env)
    assert shown.code == 0
    assert "environment (OPENAI_API_KEY)" in shown.out
    document = quorate("config", "show", "--json", env=env)
    assert document.json["settings"]["environment"] == "staging"
    assert document.json["origins"]["agents.directories"] == "quorate.toml:2"
    assert "sk-live" not in shown.out + document.out
