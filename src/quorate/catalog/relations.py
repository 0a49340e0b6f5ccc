"""Do the agents that files name exist, may these files name them, and does nothing go in a circle?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from quorate.catalog.definition import AGENT_PREFIX, AgentEntry
from quorate.catalog.shape import AgentFile, Fault, suggest
from quorate.catalog.tiers import load_tiers, may_ask, may_hand_up

LOOP = 2
"""The length of a circle of one agent: it is named at both ends."""
Found = Sequence[tuple[AgentFile, AgentEntry]]
"""The files that could be split, with what they say."""


def check_relations(found: Found, *, unread: Collection[str] = (), thorough: bool = False) -> Iterator[Fault]:
    """Yield what is wrong with whom agents ask, escalate to and hand over to.

    Args:
        found: The files.
        unread: The names of agents that are there, and whose files could not be split.
        thorough: Whether to look at those of built-in agents too, which were checked before they were shipped.
    """
    known = {definition.name: definition for _, definition in found}
    names = known.keys() | set(unread)
    for file, definition in found:
        if thorough or not file.builtin:
            yield from _check_asked(file, definition, known)
            yield from _check_named(file, definition, known, names)
    asked = {definition.name: definition.delegates for _, definition in found}
    files = {definition.name: file for file, definition in found}
    for circle in find_circles(asked):
        shown = _spell(circle)
        tool = AGENT_PREFIX + circle[-1]
        yield files[circle[-2]].fault(
            f"agents call each other in a circle: {shown}; take one call out", "tools", containing=tool
        )
    up = {definition.name: (definition.escalates_to,) for _, definition in found if definition.escalates_to}
    for circle in find_circles(up):
        if len(circle) <= LOOP:
            continue  # told as one that hands over to itself
        what = f"what they cannot do goes in a circle: {_spell(circle)}; let one go up to another"
        yield _fault(files[circle[-2]], f"Up to `{circle[-1]}`", what)


def find_circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield the circles of a graph, each from one name back to itself; a part of the graph is walked once."""
    done: set[str] = set()
    for start in sorted(graph):
        trail: list[str] = []
        pending = [(start, 0)]
        while pending:
            name, depth = pending.pop()
            del trail[depth:]
            if name in trail:
                yield [*trail[trail.index(name) :], name]
            elif name not in done:
                trail.append(name)
                done.add(name)
                pending += [(other, depth + 1) for other in reversed(graph.get(name, ())) if other in graph]


def _check_asked(file: AgentFile, definition: AgentEntry, known: Mapping[str, AgentEntry]) -> Iterator[Fault]:
    for name in definition.delegates:
        asked = known.get(name)
        if asked is None or asked.name == definition.name or may_ask(definition.tier, asked.tier):
            continue
        allowed = ", ".join(f"`{tier}`" for tier in load_tiers()[definition.tier].asks) or "nobody"
        what = f"a {definition.tier} agent may ask {allowed}, and {name!r} is {asked.tier}; hand over to it instead"
        yield file.fault(what, "tools", containing=AGENT_PREFIX + name)


def _check_named(
    file: AgentFile, definition: AgentEntry, known: Mapping[str, AgentEntry], names: Collection[str]
) -> Iterator[Fault]:
    up = definition.escalates_to
    for name, words in [(up, "Up to"), *((name, "To") for name in definition.hands_off)]:
        if not name:
            continue
        place = f"{words} `{name}`"
        if name == definition.name:
            yield _fault(file, place, "`## Hand over`: it cannot hand over to itself; name another agent")
        elif name not in names:
            yield _fault(file, place, f"`## Hand over`: there is no agent {name!r}; {suggest(name, names)}")
    higher = known.get(up)
    if higher is not None and higher.name != definition.name and not may_hand_up(definition.tier, higher.tier):
        allowed = " or ".join(f"`{tier}`" for tier in load_tiers()[definition.tier].hands_up_to) or "nobody"
        what = f"a {definition.tier} agent goes up to {allowed}, and {up!r} is {higher.tier}; name another"
        yield _fault(file, f"Up to `{up}`", f"`## Hand over`: {what}")


def _fault(file: AgentFile, words: str, what: str) -> Fault:
    place = file.front.body.find(words)
    return Fault(path=file.path, line=file.front.body_line + file.front.body.count("\n", 0, max(0, place)), what=what)


def _spell(circle: Sequence[str]) -> str:
    return " → ".join(f"`{agent}`" for agent in circle)
