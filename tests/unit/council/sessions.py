"""What do the tests of decisions share: voters that say what they are told to, and a council of them?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from quorate import Agent, MemoryLog, ScriptedModel
from quorate.agent.agent import AnyAgent
from quorate.council.decide import Backing, council
from quorate.council.decision import Decision
from quorate.council.plan import Plan
from quorate.council.signing import Seal
from quorate.errors import UpstreamError
from quorate.events import AnyEvent

DOWN = UpstreamError("The provider is down.")
SEAL = Seal(b"a secret of the council, for tests")


def write(choice: str, **more: object) -> str:
    """Write a ballot as a voter answers it."""
    return json.dumps({"choice": choice, **more})


def build_voter(name: str, *said: object) -> AnyAgent:
    return Agent(name, model=ScriptedModel([*said] * 10))  # type: ignore[list-item]


def build_voters(*said: object) -> list[AnyAgent]:
    """Build `v1`, `v2` and so on; each says one thing, or several in turn."""
    return [build_voter(f"v{place}", *(one if isinstance(one, tuple) else (one,))) for place, one in enumerate(said, 1)]


async def hold(*said: object, plan: Plan, **more: Any) -> tuple[Decision, list[AnyEvent], AnyAgent]:
    """Have a council of such voters decide; return the record, the log, and the council."""
    held = council("board", build_voters(*said), plan, **{"backing": Backing(seal=SEAL), **more})
    log = MemoryLog()
    result = await held.run("Which?", log=log)
    return result.output, await log.read(result.run_id), held  # type: ignore[return-value]


def choose(*choices: str) -> Iterable[str]:
    return [write(choice) for choice in choices]
