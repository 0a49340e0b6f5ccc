"""Does `quorate nats config` say what it did and what is next, and end with the right code?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from quorate.cli import nats
from quorate.cli.failures import get_exit_code
from quorate.errors import Conflict, InvalidFiles, InvalidInput, UnknownName

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    nats.add_commands(app)

    def invoke(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        words = words if words[:1] == ("streams",) else ("config", *words)
        code = get_command(app).main(["nats", *words], prog_name="quorate", standalone_mode=False)
        return (code if isinstance(code, int) else 0), capsys.readouterr().out

    return invoke


def test_a_configuration_is_written_and_what_is_next_is_said(run: Run, tmp_path: Path) -> None:
    """Who talks there, where each key is, how a server starts, and what a worker sets; no secret is printed."""
    code, out = run("--tenant", "acme", "--tenant", "globex")
    assert code == 0
    seed = (tmp_path / "nats/keys/acme/worker.nk").read_text().strip()
    assert seed not in out
    for words in (
        "server.conf  written",
        "acme/worker",
        "nats-server -c ",
        "QUORATE_BUS_URL=nats://127.0.0.1:4222",
        "QUORATE_BUS__TENANT=acme",
        "QUORATE_BUS__PRINCIPAL=worker",
        f"QUORATE_BUS__NKEY_FILE={tmp_path}/nats/keys/acme/worker.nk",
    ):
        assert words in out, words
    code, out = run("--tenant", "acme", "--tenant", "globex")
    assert (code, "unchanged" in out, "nats-server -c" in out) == (0, True, False)


def test_what_it_is_told_to_set_is_settings(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each variable is one that Quorate reads."""
    from quorate.settings import load_settings

    _, out = run("--tenant", "acme", "--json")
    worker = next(login for login in json.loads(out)["logins"] if login["name"] == "acme/worker")
    for name, value in worker["environment"].items():
        monkeypatch.setenv(name, value)
    chosen = load_settings(tmp_path).bus
    assert (chosen.url, chosen.tenant, chosen.principal) == ("nats://127.0.0.1:4222", "acme", "worker")
    assert chosen.nkey_file == str(tmp_path / "nats/keys/acme/worker.nk")


def test_a_check_ends_with_one_when_something_is_not_current(run: Run, tmp_path: Path) -> None:
    """And writes nothing; every fault is a line, or in a list."""
    assert run("--tenant", "acme", "--check")[0] == 1
    assert not (tmp_path / "nats").exists()
    run("--tenant", "acme")
    assert run("--tenant", "acme", "--check") == (0, "The configuration and all keys are what the facts say.\n")
    code, out = run("--tenant", "acme", "--tenant", "globex", "--check", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["ok"] is False
    assert len(found["faults"]) == 2
    assert "globex/server has no key" in out
    assert json.loads(run("--tenant", "acme", "--check", "--json")[1]) == {"ok": True, "faults": []}


def test_a_file_says_it_all(run: Run, tmp_path: Path) -> None:
    """Options that say the same are refused; faults in it are named with their line, and the exit code is 2."""
    (tmp_path / "bus.toml").write_text('[tenants.acme.principals.net]\nrole = "worker"\nqueues = ["net"]\n')
    code, out = run("bus.toml", "-o", "here")
    assert code == 0
    assert "acme/net" in out
    assert (tmp_path / "here/keys/acme/net.nk").is_file()
    for words in (("bus.toml", "--tenant", "acme"), ("bus.toml", "--listen", "127.0.0.1:5"), ()):
        with pytest.raises(InvalidInput) as caught:
            run(*words)
        assert get_exit_code(caught.value) == 2
    (tmp_path / "bus.toml").write_text('[tenants.acme.principals.net]\nrole = "king"\n')
    with pytest.raises(InvalidFiles, match=r"bus.toml:2: `tenants.acme.principals.net.role` is 'king'"):
        run("bus.toml")


def test_wrong_options_are_told(run: Run) -> None:
    """Open to others without TLS, half of a certificate, a check that is to change something, unknown names."""
    with pytest.raises(InvalidFiles, match="which others can reach"):
        run("--tenant", "acme", "--listen", "0.0.0.0:4222")
    with pytest.raises(InvalidInput, match="give `--cert` and `--key`"):
        run("--tenant", "acme", "--cert", "a.pem")
    with pytest.raises(InvalidInput, match="`--check` changes nothing"):
        run("--tenant", "acme", "--check", "--rotate", "acme/worker")
    run("--tenant", "acme")
    with pytest.raises(UnknownName):
        run("--tenant", "acme", "--rotate", "worker")
    assert "the key before lets in, too" in run("--tenant", "acme", "--rotate", "acme/worker")[1]
    with pytest.raises(Conflict):
        run("--tenant", "acme", "--rotate", "acme/worker")
    assert "acme/worker: the key before lets in no more." in run("--tenant", "acme", "--retire", "acme/worker")[1]
    code, out = run("--tenant", "acme", "--listen", "0.0.0.0:4222", "--cert", "c", "--key", "k", "--ca", "a")
    assert code == 0
    assert "QUORATE_BUS_URL=tls://HOST:4222" in out
    assert "QUORATE_BUS__CA_FILE=" in out


def test_streams_need_a_bus_and_a_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is guessed."""
    with pytest.raises(InvalidInput, match="There is no bus"):
        run("streams", "--events")
    monkeypatch.setenv("QUORATE_BUS_URL", "nats://127.0.0.1:4222")
    with pytest.raises(InvalidInput, match="Say which streams"):
        run("streams")
