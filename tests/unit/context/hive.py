"""Who is in the hive of these tests, and what do they see of it?"""

from quorate.context.memory.places import Member
from quorate.context.memory.rank import Recollection

ACME, ZETA = "memory/acme/", "memory/zeta/"
DAY_S = 86_400.0


def member(agent: str = "net", *, principal: str = "ann", run: str = "run-1", session: str | None = None) -> Member:
    """A member of the hive."""
    return Member(principal=principal, agent=agent, run=run, session=session)


def texts(found: Recollection) -> list[str]:
    """What was found, in order."""
    return [one.entry.text for one in found.found]
