"""Who does a case: an agent, the routing, or several that decide?"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.catalog.evaluation.case import Case, Poll
from quorate.catalog.load import Catalog
from quorate.catalog.route import NoRoute
from quorate.council.decide import council
from quorate.council.plan import Plan
from quorate.errors import QuorateError
from quorate.tools.define import tool

ROUTER = "evaluated-routing"
POLL = "evaluated-poll"


class RouteFound(Struct, frozen=True, kw_only=True):
    """Whom a request would go to."""

    agents: tuple[str, ...]
    """The best first; none where it is refused."""
    reason: str
    score: float = 0.0


def find_asked(catalog: Catalog, case: Case, *, find: Callable[[str], AnyAgent]) -> AnyAgent:
    """Find who does a case: whom it names, or whom routing chooses.

    Args:
        catalog: Where routing looks.
        case: What is asked.
        find: Finds an agent by its name.

    Raises:
        UnknownName: An agent is not there.
        NoRoute: No agent is for it.
        InvalidInput: A poll cannot be held so.
    """
    if case.kind == "route":
        return build_router(catalog)
    if case.poll is not None:
        return build_poll(case.poll, find=find)
    return find(case.agent or catalog.route(case.request).agent)


def build_router(catalog: Catalog) -> AnyAgent:
    """Build an agent whose answer is whom a request would go to: nobody is asked to do it."""

    @tool(effect="idempotent")
    def find_route(request: str) -> RouteFound:
        """Find whom a request would go to."""
        try:
            route = catalog.route(request)
        except NoRoute:
            return RouteFound(agents=(), reason="no agent is for the request")
        others = tuple(other.agent for other in route.alternatives)
        return RouteFound(agents=(route.agent, *others), reason=route.reason, score=route.score)

    async def work(procedure: Work, task: str) -> str:
        outcome = await procedure.call("route", "find_route", {"request": task})
        if not outcome.is_good:
            raise QuorateError(outcome.text)
        return outcome.text

    return build_agent(ROUTER, work, tools=[find_route], output_type=RouteFound)


def build_poll(poll: Poll, *, find: Callable[[str], AnyAgent]) -> AnyAgent:
    """Build an agent whose answer is what some agents decide.

    Raises:
        InvalidInput: There are too few voters or options, or no such rule.
        UnknownName: There is no such agent.
    """
    plan = Plan(options=poll.options, rule=poll.rule, quorum=poll.quorum)
    return council(POLL, [find(name) for name in poll.voters], plan)
