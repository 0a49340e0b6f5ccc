"""Whose runs may a worker take, by the agents that it was told and by what they require?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from quorate.errors import InvalidInput, UnknownName
from quorate.ids import check_id
from quorate.orchestration.teams.spec import Team
from quorate.orchestration.workflow.load import list_named
from quorate.orchestration.workflow.spec import Workflow
from quorate.runtime.runtime import Runtime
from quorate.specs import Limits

GLOB = frozenset("*?[")
MAX_NAMED = 5
"""How many agents an error names."""


class Placement(Struct, frozen=True, kw_only=True):
    """Whose runs a worker takes, and what it offers them."""

    patterns: tuple[str, ...] = ()
    """The names and globs that it was told; empty for everything that can be opened here."""
    capabilities: tuple[str, ...] = ()
    """What it offers, such as `gpu`."""
    agents: dict[str, Limits] = {}
    """The agents that it was told and can open, by name, with their limits."""
    lacking: dict[str, tuple[str, ...]] = {}
    """Those of them whose runs it leaves to others, with the capabilities that it has not."""

    @property
    def offered(self) -> tuple[str, ...]:
        """Whose runs it takes, of the agents that can be opened here."""
        return tuple(name for name in self.agents if name not in self.lacking)

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """The agents whose runs are looked for; `None` for those of all."""
        return self.offered if self.patterns or self.lacking else None


def build_placement(
    runtime: Runtime,
    *,
    agents: Sequence[str] | None = None,
    capabilities: Sequence[str] | None = None,
    requires: Mapping[str, Sequence[str]] | None = None,
) -> Placement:
    """Find out whose runs a worker takes.

    Args:
        runtime: What can be opened here.
        agents: Names and globs such as `host*`; by default those of the settings (`worker.agents`), or everything.
        capabilities: What this process offers; by default those of the settings (`worker.capabilities`).
        requires: What agents require beside what their files say, by name or glob; for agents that are no files.

    Raises:
        UnknownName: There is no agent of such a name.
        InvalidInput: A glob is no agent's, a capability is not a name, or no agent is left that may be done here.
    """
    chosen = runtime.settings.worker
    patterns = tuple(dict.fromkeys(chosen.agents if agents is None else agents))
    offered = tuple(dict.fromkeys(chosen.capabilities if capabilities is None else capabilities))
    for name in offered:
        check_id(name, "capability")
    known = list_known(runtime)
    told, lacking = _choose(patterns, known), dict[str, tuple[str, ...]]()
    for name in told:
        needed = find_required(runtime, name, more=requires or {})
        if missing := tuple(one for one in needed if one not in offered):
            lacking[name] = missing
    if patterns and len(lacking) == len(told):
        agent, (name, *_) = next(iter(lacking.items()))
        raise InvalidInput(
            f"Agent {agent!r} requires `{name}`, which this worker does not offer: add `--capability {name}` "
            "(`worker.capabilities`) where that is there."
        )
    return Placement(
        patterns=patterns, capabilities=offered, agents={name: known[name] for name in told}, lacking=lacking
    )


def list_known(runtime: Runtime) -> dict[str, Limits]:
    """List the agents that can be opened here, workflows and teams among them, with their limits, by name."""
    known = {definition.name: definition.limits for definition in runtime.catalog}
    known.update({name: agent.limits for name, agent in runtime.given.items()})
    for name, one in list_defined(runtime).items():
        known[name] = Limits(seconds=one.timeout_s) if isinstance(one, Workflow) else one.limits
    return dict(sorted(known.items()))


def find_required(runtime: Runtime, agent: str, *, more: Mapping[str, Sequence[str]] = {}) -> tuple[str, ...]:
    """Find the capabilities that an agent requires: its own, and those of the agents that it has as tools or members.

    Args:
        runtime: Where its file is known.
        agent: Its name.
        more: What agents require beside that, by name or glob.
    """
    required, seen, pending, defined = set[str](), set[str](), [agent], list_defined(runtime)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        required |= _find_more(name, more)
        if name in runtime.catalog:
            definition = runtime.catalog.get(name)
            required.update(definition.requires)
            pending += definition.delegates
        elif name in defined:
            pending += list_named(defined[name])
    return tuple(sorted(required))


def list_defined(runtime: Runtime) -> dict[str, Workflow | Team]:
    """List the workflows and teams that can be opened here, by name."""
    found = runtime.find_definitions()
    return {} if found is None else {**found.workflows, **found.teams}


def _choose(patterns: Sequence[str], known: Mapping[str, Limits]) -> list[str]:
    chosen = dict[str, None]()
    for pattern in patterns or ("*",):
        names = [name for name in known if fnmatchcase(name, pattern)]
        if not names and patterns:
            if GLOB.isdisjoint(pattern):
                raise UnknownName("agent", pattern, known, "A worker does agents that can be opened where it runs.")
            some = ", ".join(f"`{name}`" for name in list(known)[:MAX_NAMED])
            raise InvalidInput(
                f"`{pattern}` is the name of no agent here: write a name or a glob of those that there are, such as "
                f"{some}; `quorate agents list` shows all."
            )
        chosen.update(dict.fromkeys(names))
    return sorted(chosen)


def _find_more(name: str, requires: Mapping[str, Sequence[str]]) -> set[str]:
    return {needed for pattern, names in requires.items() if fnmatchcase(name, pattern) for needed in names}
