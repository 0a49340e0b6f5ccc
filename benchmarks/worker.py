"""How does one process measure one side? Prints one line of JSON; a workload that fails says why.

Used as `python -m benchmarks.worker quorate count [define run …]`, from the repository's root.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import warnings
from typing import cast

from benchmarks.script import Side
from benchmarks.work import COUNTED, TIMED

TIMEOUT_S = 120


async def measure(side: Side, kind: str, only: list[str]) -> tuple[dict[str, float], dict[str, str]]:
    values: dict[str, float] = {}
    failed: dict[str, str] = {}
    for names, measurement in (COUNTED if kind == "count" else TIMED).items():
        if only and not set(only) & set(names):
            continue
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await measurement(side)
        except Exception as error:  # a side that cannot do one workload still does the others
            failed |= dict.fromkeys(names, explain(error))
        else:
            values |= dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))
    return values, failed


def explain(error: BaseException) -> str:
    """One line; of a group, its first member's."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def main() -> None:
    name, kind, *only = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # What a side prints is not the result.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        side = cast("Side", importlib.import_module(f"benchmarks.sides.{name}"))
    except Exception as error:  # somebody else's package may fail to import in any way
        every = [one for names in (COUNTED if kind == "count" else TIMED) for one in names]
        values, failed = {}, {one: explain(error) for one in every if not only or one in only}
    else:
        values, failed = asyncio.run(measure(side, kind, only))
    print(json.dumps({"values": values, "failed": failed}), file=out, flush=True)
    # A framework's own threads and exit handlers are none of the measurement.
    os._exit(0)


if __name__ == "__main__":
    main()
