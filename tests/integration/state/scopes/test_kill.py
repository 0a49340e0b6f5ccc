"""Does a delegate find its values again after its process was killed?"""

import asyncio
import sys
from pathlib import Path

import pytest
from tests.integration.state.scopes.conftest import Open
from tests.integration.state.scopes.lead import HELPER, LEAD, build_options, build_team

from quorate.events import ToolFinished
from quorate.ports import Sharing
from quorate.state.places import ScopeRef
from quorate.state.scopes import StateStore


@pytest.mark.parametrize(
    ("sharing", "seen"),
    [("inherit", "a=changed"), ("isolate", "a=None"), ("copy", "a=lead's"), ("share", "a=changed")],
)
async def test_a_delegate_goes_on_with_its_values(address: str, open_again: Open, sharing: Sharing, seen: str) -> None:
    """Killed inside the delegate, changed by somebody, resumed: what it reads is as declared; a copy is not retaken."""
    program = str(Path(__file__).with_name("lead.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, address, sharing, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
    finally:
        process.kill()
        await process.wait()

    async with open_again() as store:
        run = ScopeRef(scope="run", tenant="default", id="run-1")
        await StateStore(store.values).set(run, "a", "changed")
        team = build_team(sharing, lead=LEAD[2:], helper=HELPER[2:], is_waiting=False)
        result = await team.resume("run-1", log=store.log, options=build_options(store))
        kept = await StateStore(store.values).get(run, "b")
    assert result.output == "ended"
    looks = [str(e.result.content) for e in result.events if isinstance(e, ToolFinished) and e.result.name == "look"]
    assert looks == [seen, "a=changed"]
    assert (kept is not None) == (sharing == "share")
