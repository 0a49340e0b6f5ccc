"""Which figures of the record are measured, by which work, and what is each meant to reach?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SIDES = ("sqlite", "postgres")
"""The columns; `floor` has one value in the first."""

STEPS = 10
PEERS = ("dbos", "langgraph")


@dataclass(frozen=True)
class Figure:
    """One row of the result."""

    name: str
    title: str
    unit: str = ""
    target: tuple[float | None, float | None] = (None, None)
    """What SQLite and PostgreSQL are to reach; `None` where there is no promise."""
    better: Literal["lower", "higher"] = "lower"
    rival: str = ""
    """The figure of ours that this one, of somebody else, is to be compared with."""
    sums: bool = False
    """Whether the rounds are added up: counts of trials."""


@dataclass(frozen=True)
class Work:
    """What one process measures: several figures of one side."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    sides: tuple[str, ...] = SIDES
    peer: str = ""
    """Whose environment it needs; ours when empty."""
    is_long: bool = False
    """Whether it takes minutes, so that it is only done when asked for."""


def _both(value: float) -> tuple[float, float]:
    return (value, value)


def _build_runs(name: str, title: str, **more: tuple[float | None, float | None] | str) -> tuple[Figure, Figure]:
    cpu_target = more.pop("cpu", (None, None))
    rival = str(more.get("rival", ""))
    rate = Figure(name, title, "runs/s", better="higher", **more)  # type: ignore[arg-type]
    return rate, Figure(
        f"{name}_cpu",
        "… CPU of a step",
        "ms",
        cpu_target,
        rival=rival and f"{rival}_cpu",  # type: ignore[arg-type]
    )


APPEND = tuple(
    figure
    for count in (64, 1)
    for figure in (
        Figure(f"append_{count}_bare", f"the bare driver, {count} appender{'s'[: count - 1]}", "/s", better="higher"),
        Figure(f"append_{count}_log", "… `Log.append`", "/s", better="higher"),
        Figure(f"append_{count}_ratio", "… share of the bare driver's", "×", _both(0.5), better="higher"),
    )
)

TURN = tuple(
    figure
    for count, target, what in ((1, 1.0, "median"), (50, 0.3, "time for each"))
    for figure in (
        Figure(f"turn_{count}_memory", f"a tool turn in memory, {count} at once ({what})", "ms"),
        Figure(f"turn_{count}_durable", "… durable", "ms"),
        Figure(f"turn_{count}_above", "… what durability adds", "ms", (target, None)),
    )
)

STORED = (
    Figure("state_read", "read a state value, p95", "ms", _both(1)),
    Figure("state_write", "write a state value, p95", "ms", _both(5)),
    Figure("session_load", "load a session of 500 runs and 1,000 messages, p95", "ms", _both(50)),
    Figure("artifact_save", "save an artifact of 64 KB, p95", "ms", _both(5)),
    Figure("artifact_load", "… load it, p95", "ms"),
)

BRANCHES = tuple(
    figure
    for peer, title in (("", "Quorate"), ("dbos_", "DBOS steps"), ("langgraph_", "LangGraph functional API"))
    for figure in (
        Figure(f"{peer}branches_right", f"{title}: right", "runs", better="higher", sums=True),
        Figure(
            f"{peer}branches_wrong", "… a result in the wrong branch", "runs", (None if peer else 0,) * 2, sums=True
        ),
        Figure(
            f"{peer}branches_none", "… no answer, or nothing recorded", "runs", (None if peer else 0,) * 2, sums=True
        ),
    )
)


def _build_flat() -> tuple[Figure, ...]:
    titles = {
        "append": "append an event",
        "follow": "follow a run of 20 events",
        "list": "list a page of 50 runs",
        "resume": "resume a run of 20 events",
        "find_work": "find work",
    }
    return tuple(
        figure
        for name, title in titles.items()
        for figure in (
            Figure(f"flat_{name}_small", f"{title}, among 10,000 events", "ms"),
            Figure(f"flat_{name}_large", "… among 1,000,000", "ms"),
            Figure(f"flat_{name}_ratio", "… ratio", "×", _both(2)),
        )
    )


WORKS = (
    Work("append", "Appending events of 300 bytes", APPEND),
    Work("turn", "A turn of an agent with one tool", TURN),
    Work(
        "crowd",
        "1,000 durable runs at once (50 ms, tool, 50 ms)",
        (
            Figure("crowd_s", "all of them", "s"),
            Figure("crowd_kib", "… resident memory each adds at most", "KiB", _both(64)),
        ),
    ),
    Work("crowd_traced", "", (Figure("crowd_traced_kib", "… by `tracemalloc`", "KiB"),)),
    Work(
        "floors",
        "1,000 runs at once of 10 steps of 1 ms",
        (
            *_build_runs("plain", "plain `asyncio`, nothing recorded"),
            *_build_runs("bare", "a bare keyed table"),
            *_build_runs("keyed", "`Log.append` by hand"),
        ),
    ),
    Work(
        "runs",
        "",
        (
            *_build_runs(
                "runs", "Quorate: an agent's 5 model and 5 tool calls", target=(1200.0, 1000.0), cpu=(0.1, 0.1)
            ),
            Figure("runs_append_p99", "… an append, p99", "ms"),
        ),
    ),
    Work("turns", "", _build_runs("turns", "Quorate: an agent's 10 tool calls, and as many model calls at no cost")),
    Work(
        "queue",
        "",
        (
            Figure("accept", "Quorate: runs accepted into the queue", "runs/s", better="higher"),
            *_build_runs("queue", "Quorate: the queue, by one worker in the same process"),
        ),
    ),
    *(
        Work(
            f"fleet_{count}",
            "",
            (
                *_build_runs(f"fleet_{count}", f"Quorate: the queue, {count} worker process{'es'[: 2 * count - 2]}"),
                Figure(f"fleet_{count}_p99", "… an append, p99", "ms", _both(20)),
            ),
        )
        for count in (1, 2, 4)
    ),
    Work("dbos_runs", "", _build_runs("dbos", "DBOS steps", rival="runs"), peer="dbos"),
    Work(
        "langgraph_runs",
        "",
        _build_runs("langgraph", "LangGraph functional API", rival="runs"),
        peer="langgraph",
        sides=("sqlite",),
    ),
    Work("stored", "State, sessions, artifacts", STORED),
    Work(
        "resume",
        "Going on with a run, until its next model call",
        (
            Figure("resume_1000", "a run of 1,000 events, slowest", "ms", _both(100)),
            Figure("resume_10000", "a run of 10,000 events, slowest", "ms", _both(1000)),
        ),
    ),
    Work("branches", "Four parallel branches of the same three steps, killed, resumed", BRANCHES[:3]),
    Work("dbos_branches", "", BRANCHES[3:6], peer="dbos"),
    Work("langgraph_branches", "", BRANCHES[6:], peer="langgraph", sides=("sqlite",)),
    Work("flat", "A million events", _build_flat(), is_long=True),
)

BY_NAME = {work.name: work for work in WORKS}
FIGURES = {figure.name: figure for work in WORKS for figure in work.figures}


def is_missed(figure: Figure, side: str, value: float) -> bool:
    """Whether a value is on the wrong side of its target."""
    target = figure.target[SIDES.index(side)]
    if target is None:
        return False
    return value > target if figure.better == "lower" else value < target
