"""Does the doctor see that what others are to be told of waits for a worker that never comes?"""

import asyncio
from pathlib import Path

import pytest

from quorate import Settings
from quorate.assembly import open_store
from quorate.cli.checks import MOST_WAITING, check_notices
from quorate.events import CancelRequested, RunCreated
from quorate.messages import build_user_message
from quorate.settings.values import WebhookSettings

pytestmark = pytest.mark.blocking


def test_notices_that_nobody_tells_are_seen(tmp_path: Path) -> None:
    """With what to do; nothing is made by looking."""
    settings = Settings(database=str(tmp_path / "q.db"), webhooks=WebhookSettings(enabled=True))
    assert check_notices(settings).status == "ok"
    assert not (tmp_path / "q.db").exists()

    async def record(run: str, count: int) -> None:
        created = RunCreated(run=run, seq=1, time=1.0, agent="net", messages=(build_user_message("?"),))
        asked = [CancelRequested(run=run, seq=seq, time=1.0) for seq in range(2, count + 1)]
        async with open_store(settings) as store:
            await store.log.append(run, [created, *asked], expected=0)

    asyncio.run(record("run-1", 3))
    assert (check_notices(settings).status, "3 events wait" in check_notices(settings).detail) == ("ok", True)
    asyncio.run(record("run-2", MOST_WAITING))
    assert (check_notices(settings).status, "quorate worker" in check_notices(settings).advice) == ("warning", True)
