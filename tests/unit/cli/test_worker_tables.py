"""Are workers shown in a way that a person sees at once who is there, how busy, and what waits?"""

import pytest

from quorate.cli.worker import read_names
from quorate.cli.workers import Fleet, Queued, render_fleet, render_worker
from quorate.errors import InvalidInput
from quorate.runtime.registry import WorkerRecord
from quorate.specs import Limits

NOW = 1_000.0


def build_worker(name: str, **facts: object) -> WorkerRecord:
    known: dict[str, object] = {
        "host": "node-1",
        "seen": NOW - 4,
        "memory_mb": 51.4,
        "agents": {"net": Limits()},
        **facts,
    }
    return WorkerRecord(id=name, pid=7, version="0.1.0", started=0.0, concurrency=16, **known)  # type: ignore[arg-type]


def test_each_worker_is_a_line_and_what_waits_stands_below() -> None:
    workers = [
        build_worker("worker-1", runs=("run-1", "run-2")),
        build_worker(
            "worker-2", state="draining", patterns=("net", "host*"), capabilities=("gpu", "disk"), seen=NOW - 75
        ),
    ]
    queued = [Queued(agent="eyes", runs=2, why="no worker does it"), Queued(agent="ears", runs=1, why="nor this")]
    assert render_fleet(Fleet(workers=workers, queued=queued, now=NOW)) == [
        "worker    host      state     runs  memory  agents                seen",
        "worker-1  node-1:7  working   2/16  51 MB   all                   4.0 s ago",
        "worker-2  node-1:7  draining  0/16  51 MB   net host* +gpu +disk  1 min 15 s ago",
        "",
        "Queued, and taken by nobody for now:",
        "  eyes  2 runs  no worker does it",
        "  ears  1 run   nor this",
    ]


def test_names_may_stand_in_one_word() -> None:
    assert read_names("--agents", None) is None
    assert read_names("--agents", ["net, host*", "desk"]) == ["net", "host*", "desk"]


@pytest.mark.parametrize("given", [[""], [" "], ["net,"], ["net", ""]])
def test_an_empty_name_does_not_stand_for_everything(given: list[str]) -> None:
    """As a variable of a script that was not set would."""
    with pytest.raises(InvalidInput, match="`--agents` has an empty name in"):
        read_names("--agents", given)


def test_nobody_is_there() -> None:
    fleet = Fleet(workers=[], queued=[], now=NOW)
    assert render_fleet(fleet) == ["No worker is there. Start one: `quorate worker`."]


def test_a_worker_in_full() -> None:
    """A name from another machine cannot move the cursor."""
    worker = build_worker(
        "worker-1",
        host="node\x1b[2J",
        state="full",
        why="900 MB of memory, and 800 MB are the limit",
        capabilities=("gpu",),
        lacking={"eyes": ("disk", "npu")},
        has_bus=True,
        runs=("run-1",),
    )
    assert render_worker(worker, now=NOW) == [
        "worker   worker-1",
        "state    full: 900 MB of memory, and 800 MB are the limit",
        "process  7 on node\\x1b[2J, Quorate 0.1.0",
        "runs     1 of 16 at once",
        "memory   51 MB",
        "agents   all +gpu",
        "offers   gpu",
        "leaves   eyes (needs disk, npu)",
        "bus      yes",
        "started  1970-01-01 00:00:00 UTC",
        "seen     4.0 s ago",
    ]
