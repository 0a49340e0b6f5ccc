"""Does the server answer whatever is sent as its description says, and never by breaking?"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from tests.integration.server.conftest import Api, build_agents, serve
from tests.integration.server.fuzz import Fuzz
from tests.integration.server.things import SHARED, THINGS

DOORS = ("/openai/", "/anthropic/")
"""What takes long to make up; its own tests send it what its clients send."""
SOAK_S = float(os.environ.get("QUORATE_FUZZ_S", "600"))
"""How long the long one goes on."""


async def open_fuzz(api: Api) -> Fuzz:
    """Read what the server says of itself, and make what ids in paths may be."""
    things = {**SHARED, **{name: await make(api) for name, make in THINGS.items()}}
    document = (await api.ask("GET", "/schema/openapi.json", role=None)).json
    key = await api.key("admin")
    return Fuzz(document, url=api.url, headers={"Authorization": f"Bearer {key}"}, things=things)


async def test_what_is_sent_is_answered_as_described(tmp_path: Path) -> None:
    """Every route is sent what fits its description and what does not, the same every time. row: B11, C11"""
    async with serve(tmp_path / "quorate.db", *build_agents()) as api:
        fuzz = await open_fuzz(api)
        await asyncio.to_thread(fuzz.run, examples=2, leave_out=DOORS)
        assert not fuzz.faults, fuzz.report()
        assert len(fuzz.operations) > 100
        assert {200, 201, 204, 400, 404} <= set(fuzz.statuses)
        assert not {401, 500} & set(fuzz.statuses)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_ten_minutes_of_anything_break_nothing(tmp_path: Path) -> None:
    """The same with other values, for as long as `QUORATE_FUZZ_S` says. part of row B11"""
    until, start = time.monotonic() + SOAK_S, 0
    while time.monotonic() < until:
        async with serve(tmp_path / f"quorate-{start}.db", *build_agents()) as api:  # agents by script have an end
            fuzz = await open_fuzz(api)
            await asyncio.to_thread(fuzz.run, examples=25, start=start, until=until)
            assert not fuzz.faults, fuzz.report()
            assert (await api.ask("GET", "/readyz", role=None)).status == 200
        start += 1
