"""Can a motion be put to the vote here, and what is wrong with it if not?"""

from __future__ import annotations

from quorate.council.decide import list_faults, read_seat
from quorate.council.motion import Motion
from quorate.council.plan import PERSON
from quorate.council.terms import MAX_QUESTION
from quorate.errors import InvalidFiles, InvalidInput, QuorateError, UnknownName
from quorate.models.playbook import PlaybookModel
from quorate.runtime.elsewhere import find_elsewhere
from quorate.runtime.runtime import Runtime

MOST_TOLD, MOST_MISSING = 400, 20
"""How many characters of a fault are told, and of how many agents that are not there."""


async def check_motion(runtime: Runtime, motion: Motion, *, model: str | None = None, start: bool = True) -> None:
    """Return if a motion can be put to the vote: nobody has been asked anything until then.

    Args:
        runtime: Where it is put to the vote.
        motion: What is decided, by whom and how.
        model: The model of the agents that vote.
        start: Whether this process asks them; otherwise they may be agents that only workers of the fleet know.

    Raises:
        InvalidFiles: It cannot; all that is wrong is told at once.
    """
    faults = await list_motion_faults(runtime, motion, model=model, start=start)
    if faults:
        raise InvalidFiles("the motion", faults)


async def list_motion_faults(
    runtime: Runtime, motion: Motion, *, model: str | None = None, start: bool = True
) -> list[str]:
    """List everything that is wrong with a motion, such as voters that are not there.

    Args:
        runtime: Where it is put to the vote.
        motion: What is decided, by whom and how.
        model: The model of the agents that vote.
        start: Whether this process asks them.
    """
    faults: list[str] = []
    if not motion.question.strip() or len(motion.question) > MAX_QUESTION:
        faults.append(f"the question has {len(motion.question)} characters: ask something, in {MAX_QUESTION} at most")
    members = [read_seat(seat) for seat in motion.voters]
    agents = list(dict.fromkeys(member.agent for member in members if member.agent))
    arbiters = [name for name in _read_arbiters(motion) if name not in agents]
    if members and not agents and not motion.plan.options:
        faults.append("people do not propose: give `options`, or agents among the voters")
    missing = 0
    for name in (*agents, *arbiters):
        try:
            await _find(runtime, name, model=model, start=start)
        except QuorateError as error:  # it is told with everything else that is wrong
            role = "arbiter" if name in arbiters else "voter"
            is_unknown = role == "voter" and not missing and isinstance(error, UnknownName)
            people = f" People are written `{PERSON}{name:.80}`." if is_unknown else ""
            faults.append(f"{role} {name!r:.80}: {error.message[:MOST_TOLD]}{people}")
            missing += 1
        if missing == MOST_MISSING:
            faults.append(f"{missing} of them are not there: the others were not looked for")
            break
    faults += list_faults(members, motion.plan, agents=[*agents, *arbiters])
    return faults


async def _find(runtime: Runtime, name: str, *, model: str | None, start: bool) -> None:
    try:
        found = runtime.find_agent(name, model)
    except QuorateError as error:
        if start or error.code != "not_found":
            raise
        await find_elsewhere(runtime.store, name, known=(*runtime.catalog.names(), *runtime.given))
    else:
        if start and isinstance(found.model, PlaybookModel):
            raise InvalidInput("it follows its playbook, which casts no ballot: give it a language model.")


def _read_arbiters(motion: Motion) -> tuple[str, ...]:
    try:
        return motion.plan.arbiters
    except InvalidInput:  # it is told with everything else that is wrong
        return ()
