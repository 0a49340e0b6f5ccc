"""What is measured, in which unit, and what is Quorate meant to reach?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HISTORY = 5_000
CROWD = 1_000
PARALLEL = 20


@dataclass(frozen=True)
class Workload:
    """One row of the result."""

    name: str
    title: str
    kind: Literal["count", "time", "import"]
    unit: str
    target: float | None = None
    """The most Quorate may cost; `None` where there is no promise."""


WORKLOADS = (
    Workload("define", "define an agent with one tool", "count", "calls", 60),
    Workload("define_kib", "… memory it takes", "count", "KiB", 4),
    Workload("run", "a run without tools", "count", "calls", 150),
    Workload("turn_2", "a tool turn, from turn 2 on", "count", "calls", 150),
    Workload("turn_40", "a tool turn, from turn 40 on", "count", "calls", 150),
    Workload("turn_100", "a tool turn, from turn 100 on", "count", "calls", 150),
    Workload("delta", "a streamed piece of text", "count", "calls", 15),
    Workload("hop", "a delegation to another agent", "count", "calls", 300),
    Workload("history", f"a message of history ({HISTORY:,})", "count", "calls", 0),
    Workload("run_us", "a run without tools", "time", "µs", 45),
    Workload("turn_us", "a tool turn (2nd to 11th)", "time", "µs", 45),
    Workload("late_turn_us", "a tool turn (91st to 110th)", "time", "µs", 45),
    Workload("parallel_ms", f"{PARALLEL} parallel tools of 10 ms", "time", "ms", 11.5),
    Workload("crowd_s", f"{CROWD:,} runs at once (50 ms, tool, 50 ms)", "time", "s", 0.22),
    Workload("crowd_mib", "… memory they add at most", "time", "MiB", 8),
    Workload("delta_us", "a streamed piece of text", "time", "µs", 3),
    Workload("history_ms", f"a run on a history of {HISTORY:,} messages", "time", "ms", 1.5),
    Workload("fresh_us", "a new agent and its first run, with a tool", "time", "µs", 150),
    Workload("modules", "modules after the import", "import", "", 200),
    Workload("import_ms", "time of the import", "import", "ms"),
    Workload("rss_mib", "memory after the import", "import", "MiB", 35),
    Workload("distributions", "distributions to install", "import", "", 11),
    Workload("installed_mb", "installed size", "import", "MB", 17),
    Workload("help_ratio", "`quorate --help`, in starts of a bare interpreter", "import", "×", 3),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
