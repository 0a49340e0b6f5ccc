"""How does a command open everything it needs to work with runs?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from quorate.assembly import open_runtime
from quorate.cli.watch import run_async
from quorate.runtime import Runtime
from quorate.runtime.keeping import read_secrets
from quorate.settings import Settings, load_settings
from quorate.telemetry.logs import JsonFormatter, TextFormatter

FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""How people read logs."""
T = TypeVar("T")


def run_with_runtime(work: Callable[[Runtime], Awaitable[T]], *, is_news: bool = True, counts: bool = False) -> T:
    """Do something with a runtime that is opened as the settings say, which also say how much is logged.

    Args:
        work: What to do.
        is_news: Whether what it records is told over the bus and by webhooks where the settings say so; runs that are
            brought back happened before.
        counts: Whether it is a server that answers scrapes, where the settings do not say otherwise.

    Raises what `open_runtime` and the work itself raise.
    """
    settings = load_settings()
    set_logging(settings)
    if not is_news:
        settings = settings.without_notices()

    async def open_and_work() -> T:
        async with open_runtime(settings, counts=counts and settings.server.metrics) as runtime:
            return await work(runtime)

    return run_async(open_and_work())


def load_all_settings() -> Settings:
    """Load the settings, and read the secrets that are kept elsewhere.

    Raises:
        InvalidFiles: Something is wrong with them, or a secret cannot be read.
    """
    settings = load_settings()
    if any(not secret.is_known for secret in settings.list_kept_secrets()):
        run_async(read_secrets(settings))
    return settings


def set_logging(settings: Settings) -> None:
    """Have what is logged written as the settings say, without the secrets that they know."""
    secrets = settings.list_secret_texts  # asked at each line: they may change meanwhile
    logging.basicConfig(level=settings.log_level.upper())
    json = settings.log_format == "json"
    formatter = JsonFormatter(secrets=secrets) if json else TextFormatter(FORM, secrets=secrets)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
