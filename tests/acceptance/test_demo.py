"""Does `make demo` find the planted causes, decide rightly, show its work, and clean up after itself?"""

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import structs

from quorate import Agent, ScriptedModel
from quorate.council.decide import NoDecision, decide
from quorate.council.decision import Verification
from quorate.models.playbook.report import Diagnosis, Evidence, Finding

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples/demo/main.py"
MOST_S = 20.0
STARTED = re.compile(r"\(process (\d+)\)")


def build_environment(folder: Path) -> Mapping[str, str]:
    (folder / "tmp").mkdir()
    return os.environ | {"TMPDIR": str(folder / "tmp")}


def run_demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEMO, *options],
        cwd=folder,
        env=build_environment(folder),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def wait_gone(pid: int) -> None:
    """Wait until a process that is no child of ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 60)[0], f"process {pid} is still there"
    finally:
        os.close(handle)


@pytest.mark.timeout(400)
def test_the_demo_finds_all_planted_causes(tmp_path: Path) -> None:
    """Without a terminal: exit 0 within 20 s, a line for each call, the causes with measurements, and what to type
    next; the typed commands work, and nothing but the log is left. row: B1, E15

    A machine that is busy with other things may be slow once; what takes too long does so always.
    """
    took: list[float] = []
    while not took or (took[-1] >= MOST_S and len(took) < 3):
        (folder := tmp_path / f"try-{len(took)}").mkdir()
        began_s = time.monotonic()
        done = run_demo(folder)
        took.append(time.monotonic() - began_s)
        assert done.returncode == 0, done.stdout + done.stderr
    assert min(took) < MOST_S
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.count("✓ found: ") == 3
    assert "✓ It is right, finger-pointer was outvoted, and the ballots were counted again: it holds." in done.stdout
    assert re.search(r"● network-witness votes: the payment backend 127.0.0.1:\d+ refuses connections", done.stdout)
    assert re.search(r"^ +\d+ ms  network-diagnostics +▸ \w+", done.stdout, re.MULTILINE)
    assert re.search(r"^ +\d+ ms  log-analysis +✓ analyze_log .* in \d+ ms$", done.stdout, re.MULTILINE)
    assert list((folder / "tmp").iterdir()) == []
    wait_gone(int(STARTED.search(done.stdout)[1]))  # type: ignore[index]
    check_commands(folder, done.stdout)


def check_commands(folder: Path, said: str) -> None:
    """What the demo says to type next can be typed."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("  QUORATE_DATABASE=")]
    assert len(lines) >= 4
    for line in lines[:4]:
        database, *words = shlex.split(line)
        name, _, value = database.partition("=")
        done = subprocess.run(
            words, cwd=folder, env=os.environ | {name: value}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if "--events" in words:
            assert "refused" in done.stdout
        if "verify" in words:
            assert "It holds" in done.stdout


def test_the_demo_as_json(tmp_path: Path) -> None:
    """One document on standard output, progress on standard error; every planted cause has evidence."""
    done = run_demo(tmp_path, "--json", "--database", "runs.db")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["found"], told["missing"], len(told["planted"])) == (True, [], 3)
    assert told["run_id"].startswith("run-")
    assert {"incident-lead", "network-diagnostics", "log-analysis"} <= set(told["agents"])
    assert all(finding["evidence"] for finding in told["report"]["findings"] if finding["severity"] != "info")
    assert "incident-lead" in done.stderr
    assert (tmp_path / "runs.db").exists()
    decision, (last,) = told["decision"], told["decision"]["rounds"]
    assert (told["decision_faults"], last["dissent"]) == ([], ["finger-pointer"])
    assert re.fullmatch(r"the payment backend 127.0.0.1:\d+ refuses connections", decision["winner"])
    cast = {one["voter"]: one["ballot"] for one in last["ballots"]}
    measured = [name for name, ballot in cast.items() if ballot.get("choice") == decision["winner"]]
    assert {"network-witness", "log-witness"} <= set(measured)
    assert all(cast[name]["evidence"] for name in measured)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("(process", signal.SIGTERM),
        ("network-diagnostics  ▸", signal.SIGINT),
        ("network-diagnostics  ▸", signal.SIGKILL),
    ],
)
def test_a_demo_that_is_stopped_leaves_nothing_running(moment: str, number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM stop the system, remove the workspace and end with 130; even kill -9 leaves no process."""
    environment = build_environment(tmp_path)
    with subprocess.Popen(
        [sys.executable, DEMO], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        said = ""
        while moment not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        found = STARTED.search(said)
        assert found
        demo.send_signal(number)
        said = demo.stderr.read()
    wait_gone(int(found[1]))
    if number == signal.SIGKILL:
        assert demo.returncode == -signal.SIGKILL
        return
    assert demo.returncode == 130
    assert said == "\nThe demo was stopped; everything it started is stopped too.\n"
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        ("bbw", ""),
        ("wbw", "was decided"),
        ("bw", "'nothing' was decided"),
        ("bb", "is not among those who were outvoted"),
    ],
)
async def test_a_vote_that_is_not_right_does_not_pass(
    choices: str, fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The wrong winner, none at all, nobody outvoted, a ballot without a measurement, a record that does not hold."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    from main import find_faults  # pyright: ignore[reportMissingImports]
    from system import System  # pyright: ignore[reportMissingImports]
    from witnesses import PLANTED, list_candidates  # pyright: ignore[reportMissingImports]

    system = System(url="http://127.0.0.1:8001", backend_port=8002, log=tmp_path / "shop.log", pid=1)
    backend, _, web, _ = (one.title for one in list_candidates(system))
    said = [{"choice": backend, "evidence": ["measured"]} if one == "b" else {"choice": web} for one in choices]
    names = [*(f"v{place}" for place in range(1, len(choices))), PLANTED]
    voters = [Agent(name, model=ScriptedModel([json.dumps(ballot)])) for name, ballot in zip(names, said, strict=True)]
    try:
        record = await decide("Which?", voters=voters, options=[backend, web])
    except NoDecision as error:
        record = error.context["record"]  # type: ignore[assignment]
    holds = Verification(decision=record.id, winner=record.winner)
    faults = find_faults(record, holds, system)
    assert (fault in "; ".join(faults)) if fault else faults == []
    assert find_faults(record, structs.replace(holds, faults=("changed",)), system)[0].endswith("changed")


def test_a_witness_votes_by_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For what its worst finding names, with the facts; for nothing that is not measured, or not bad enough."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    from system import System  # pyright: ignore[reportMissingImports]
    from witnesses import list_candidates, list_witnesses, read_ballot  # pyright: ignore[reportMissingImports]

    system = System(url="http://127.0.0.1:8001", backend_port=8002, log=tmp_path / "shop.log", pid=1)
    candidates, witness = list_candidates(system), list_witnesses(system)[0]
    proof = (Evidence(tool="tcp_connect", call_id="c", fact="connect 127.0.0.1:8002 refused after 0.2 ms"),)
    refused = Finding(title="Connection refused: 127.0.0.1:8002", severity="critical", evidence=proof)
    busy = Finding(
        title="Processors are busy", severity="high", evidence=(Evidence(tool="t", call_id="c", fact="99 %"),)
    )

    def vote(*findings: Finding) -> tuple[str, bool, int]:
        ballot = read_ballot(witness, Diagnosis(applies=True, summary="", findings=findings), candidates)
        return ballot.choice, ballot.abstains, len(ballot.evidence)

    assert vote(busy, refused) == (candidates[0].title, False, 1)
    assert vote(busy) == vote(structs.replace(refused, evidence=())) == ("", True, 0)


def test_a_report_without_a_cause_does_not_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cause counts only when one finding names it and bears evidence; what is missing is named."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    from causes import find_missing, list_causes  # pyright: ignore[reportMissingImports]
    from system import System  # pyright: ignore[reportMissingImports]

    causes = list_causes(System(url="http://127.0.0.1:8001", backend_port=8002, log=tmp_path / "shop.log", pid=1))
    proof = (Evidence(tool="t", call_id="c", fact="measured"),)
    timed = (Evidence(tool="t", call_id="c", fact="GET /report: 1301.5 ms"),)
    slow = Finding(title="http://127.0.0.1:8001/report is slow", severity="high", evidence=timed)
    unmeasured = Finding(title="/report looks slow", severity="low", evidence=proof)
    refused = Finding(title="127.0.0.1:8002 refused the connection", severity="high", evidence=proof)
    errors = Finding(title="6 errors in shop.log", severity="high", evidence=proof)
    unproven = Finding(title=refused.title, severity="high")

    def find(*findings: Finding) -> list[str]:
        report = Diagnosis(applies=True, summary="", findings=findings)
        return [cause.title for cause in find_missing(causes, report)]

    assert find(slow, refused, errors) == []
    assert find(slow, unproven, errors) == ["the backend 127.0.0.1:8002 refuses connections"]
    assert find(unmeasured, refused, errors) == ["http://127.0.0.1:8001/report is slow (it sleeps 1.3 s)"]
    assert len(find()) == 3
