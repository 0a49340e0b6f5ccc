"""How does one process do one work of the record? Prints one line of JSON.

Used as `python -m benchmarks.record_worker WORK SIDE PLACE SIZE`, from the repository's root.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks.record_branches import measure_branches, run_part
from benchmarks.record_flat import measure_flat
from benchmarks.record_fleet import measure_fleet
from benchmarks.record_log import measure_append, measure_floors
from benchmarks.record_runs import (
    measure_crowd,
    measure_crowd_traced,
    measure_queue,
    measure_runs,
    measure_turn,
    measure_turns,
    serve,
)
from benchmarks.record_stored import measure_resume, measure_stored

Measure = Callable[[str, str, float], Awaitable[dict[str, float]]]

MEASURES: dict[str, Measure] = {
    "append": measure_append,
    "turn": measure_turn,
    "crowd": measure_crowd,
    "crowd_traced": measure_crowd_traced,
    "floors": measure_floors,
    "runs": measure_runs,
    "turns": measure_turns,
    "queue": measure_queue,
    **{f"fleet_{count}": partial(measure_fleet, workers=count) for count in (1, 2, 4)},
    "stored": measure_stored,
    "resume": measure_resume,
    "branches": measure_branches,
    "flat": measure_flat,
    "serve": serve,
    "branches-begin": partial(run_part, part="begin"),
    "branches-resume": partial(run_part, part="resume"),
}


def main() -> None:
    name, side, place, size = sys.argv[1:]
    values = asyncio.run(MEASURES[name](side, place, float(size)))
    print(json.dumps({"values": values}), flush=True)


if __name__ == "__main__":
    main()
