"""Is it said in plain words why nobody takes a queued run?"""

import pytest

from quorate.runtime.registry import WorkerRecord, explain_queued, find_limits
from quorate.specs import Limits


def build_worker(number: int = 1, **facts: object) -> WorkerRecord:
    known: dict[str, object] = {"agents": {"net": Limits(steps=3), "eyes": Limits(steps=4)}, **facts}
    return WorkerRecord(
        id=f"worker-{number}",
        host="here",
        pid=number,
        version="1",
        started=1.0,
        concurrency=2,
        **known,  # type: ignore[arg-type]
    )


FULL = build_worker(runs=("run-1", "run-2"))
BLIND = build_worker(lacking={"eyes": ("gpu",)})


@pytest.mark.parametrize(
    ("agent", "workers", "why"),
    [
        ("net", [], "no worker is there: start one with `quorate worker`"),
        ("net", [build_worker(state="lost")], "no worker is there: start one with `quorate worker`"),
        ("net", [build_worker()], ""),
        ("net", [FULL], "there is 1 worker for agent `net`, and none has room: 2 of 2 runs at once"),
        ("net", [FULL, build_worker()], ""),
        ("net", [FULL, build_worker(state="draining")], "there are 2 workers for agent `net`, and none has room: 2 of 2 runs at once, draining"),
        ("net", [build_worker(state="full", why="9 MB of memory")], "there is 1 worker for agent `net`, and none has room: full (9 MB of memory)"),
        ("eyes", [BLIND], "no worker offers `gpu`, which agent `eyes` requires: start one with `--capability gpu`"),
        ("eyes", [BLIND, build_worker(capabilities=("gpu",), agents={})], "no worker that knows agent `eyes` offers everything that it requires"),
        ("other", [build_worker()], "no worker does agent `other`: start one that knows it, with `--agents other` or without `--agents`"),
        ("other", [build_worker(is_partial=True)], ""),
    ],
)  # fmt: skip
def test_why_nobody_takes_it(agent: str, workers: list[WorkerRecord], why: str) -> None:
    assert explain_queued(agent, workers) == why


def test_what_an_agent_requires_is_named_though_no_worker_knows_it() -> None:
    """Whoever asks may know the agent's file."""
    assert explain_queued("other", [build_worker()], requires=["gpu", "disk"]) == (
        "no worker offers `disk` and `gpu`, which agent `other` requires: start one with `--capability disk`"
    )


def test_the_limits_of_an_agent_are_those_of_whoever_knows_it() -> None:
    """Also of one that leaves its runs to others; of one that names not all of its agents, they are the usual ones."""
    assert find_limits("eyes", [build_worker(agents={}), BLIND]) == Limits(steps=4)
    assert find_limits("other", [BLIND]) is None
    assert find_limits("other", [build_worker(is_partial=True)]) == Limits()
