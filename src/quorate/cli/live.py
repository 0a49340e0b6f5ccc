"""How does a person see a run's progress: as a tree that moves on a terminal, or as lines anywhere else?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from quorate.cli.console import tell
from quorate.cli.progress import Node, ProgressTree
from quorate.events import AnyEvent
from quorate.messages import Delta

STYLES = {"completed": "green", "failed": "red", "incomplete": "yellow", "waiting": "yellow", "cancelled": "yellow"}
REFRESHES_PER_SECOND = 8

Show = Callable[[AnyEvent | Delta], None]
"""Takes in what happened and shows it."""


@contextmanager
def open_progress(*, quiet: bool = False, before: Sequence[AnyEvent] = ()) -> Generator[Show]:
    """Show progress on standard error until the end of the block, in the way that fits where it goes.

    Args:
        quiet: Show nothing.
        before: What had happened already: it has its place in the tree, and is told no more.
    """
    tree = ProgressTree()
    for event in before:
        tree.add(event)
    if quiet:
        yield lambda _: None
    elif is_watched():
        with _open_tree(tree) as show:
            yield show
    else:

        def show_line(item: AnyEvent | Delta) -> None:
            line = tree.add(item)
            if line:
                tell(line)

        yield show_line


def is_watched() -> bool:
    """Whether somebody looks at a terminal on which what is shown can be changed."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def open_live(render: Callable[[], RenderableType]) -> Generator[None]:
    """Show something that changes on standard error, until the end of the block.

    Standard output stays what it is: it may be read by a program.
    """
    with Live(
        get_renderable=render,
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        refresh_per_second=REFRESHES_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    ):
        yield


@contextmanager
def _open_tree(tree: ProgressTree) -> Generator[Show]:
    def render() -> Tree | Text:
        return build_tree(tree.root, now=time.time()) if tree.root else Text("…")

    def show(item: AnyEvent | Delta) -> None:
        tree.add(item)

    with open_live(render):
        yield show


def build_tree(node: Node, *, now: float) -> Tree:
    """Build what a terminal shows for an agent and everything below it."""
    tree = Tree(_build_label(node, now), guide_style="dim")
    for child in node.children:
        if child.children:
            tree.children.append(build_tree(child, now=now))
        elif not child.is_model or child.status != "completed":
            tree.add(_build_label(child, now))
    return tree


def _build_label(node: Node, now: float) -> Text:
    return Text(node.describe(now), style=STYLES.get(node.status, ""), no_wrap=True, overflow="ellipsis")
