"""Which graphs do all sides run, and is it certain that every node of them was made once? Nothing here knows a side."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

ANSWER = "done"
TASK = "go"
BRANCHES, DEPTH = 3, 6
"""The graph of 20 nodes: one, three branches of six, and one behind all of them."""

Go = Callable[[], Awaitable[int]]
"""One run; it gives what the last node gave."""


class WrongWork(Exception):
    """A side did not do what the graph says."""


@dataclass
class Graph:
    """Nodes in an order that fits; each gives one more than the largest that those before it gave."""

    nodes: Mapping[str, tuple[str, ...]]
    """What each node comes after, by its name."""
    made: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    """When each of them was made."""

    def make(self, name: str, given: int) -> int:
        """Do the work of a node, which costs next to nothing."""
        self.made.append(name)
        self.at.append(time.perf_counter())
        return given + 1

    def begin(self) -> None:
        self.made.clear()
        self.at.clear()

    def check(self, found: int) -> None:
        """Refuse a run that did not make every node once, each after those before it.

        Raises:
            WrongWork: It did something else.
        """
        place = {name: number for number, name in enumerate(self.made)}
        values: dict[str, int] = {}
        for name, before in self.nodes.items():
            values[name] = 1 + max((values[one] for one in before), default=0)
            if name not in place or any(place[one] > place[name] for one in before):
                raise WrongWork(f"node {name!r} was made {'too early' if name in place else 'not at all'}")
        if len(self.made) != len(self.nodes) or found != values[self.last]:
            raise WrongWork(f"{len(self.made)} of {len(self.nodes)} nodes gave {found!r:.80}, not {values[self.last]}")

    @property
    def last(self) -> str:
        return [*self.nodes][-1]


def build_chain(count: int) -> Graph:
    return Graph({f"n{place}": (f"n{place - 1}",) if place else () for place in range(count)})


def build_wide(count: int) -> Graph:
    """One node, many that need it alone, and one behind all of these."""
    middle = {f"n{place}": ("begin",) for place in range(count - 2)}
    return Graph({"begin": (), **middle, "end": tuple(middle)})


def build_twenty() -> Graph:
    nodes: dict[str, tuple[str, ...]] = {"begin": ()}
    for place in range(DEPTH):
        for branch in range(BRANCHES):
            nodes[f"b{branch}_{place}"] = (f"b{branch}_{place - 1}" if place else "begin",)
    return Graph({**nodes, "end": tuple(f"b{branch}_{DEPTH - 1}" for branch in range(BRANCHES))})


class Side(Protocol):
    """What a file in `workflow_sides/` is: a module with these."""

    def open_graph(self, graph: Graph, place: str = "") -> AbstractAsyncContextManager[Go]:
        """Build a graph whose nodes are functions; durable where there is a place, a folder for its database."""
        ...

    def open_agents(self, count: int) -> AbstractAsyncContextManager[Go]:
        """Build a chain of agents, each of which asks a scripted model once; a go gives how often models were asked."""
        ...
