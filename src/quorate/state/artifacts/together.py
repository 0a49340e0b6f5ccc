"""How are several things written at once, so that a store commits them together?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from quorate.errors import QuorateError


async def run_together(works: Sequence[Coroutine[object, object, object]]) -> None:
    """Do several things at once; when all have ended, raise the first error of those that failed.

    Raises:
        QuorateError: What one of them raised.
    """

    async def run(work: Coroutine[object, object, object]) -> QuorateError | None:
        try:
            await work
        except QuorateError as error:
            return error
        return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(work)) for work in works]
    for error in (task.result() for task in tasks):
        if error is not None:
            raise error
