"""How does a command open everything it needs to work with runs?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from quorate.assembly import open_runtime
from quorate.cli.watch import run_async
from quorate.runtime import Runtime
from quorate.settings import load_settings

T = TypeVar("T")


def run_with_runtime(work: Callable[[Runtime], Awaitable[T]], *, is_news: bool = True) -> T:
    """Do something with a runtime that is opened as the settings say, which also say how much is logged.

    Args:
        work: What to do.
        is_news: Whether what it records is told over the bus and by webhooks where the settings say so; runs that are
            brought back happened before.

    Raises what `open_runtime` and the work itself raise.
    """
    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if settings.log_format == "json":
        from quorate.telemetry.logs import JsonFormatter  # most people read logs themselves

        formatter = JsonFormatter(secrets=[secret.reveal() for secret in settings.list_secrets()])
        for handler in logging.getLogger().handlers:
            handler.setFormatter(formatter)
    if not is_news:
        settings = settings.without_notices()

    async def open_and_work() -> T:
        async with open_runtime(settings) as runtime:
            return await work(runtime)

    return run_async(open_and_work())
