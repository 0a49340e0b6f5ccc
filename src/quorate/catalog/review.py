"""What is wrong with agent files, looked at as closely as a reviewer would: all faults of all files at once?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from quorate.catalog.alike import find_alike
from quorate.catalog.check import Tools
from quorate.catalog.collect import Rules, collect, list_roots
from quorate.catalog.complete import check_complete
from quorate.catalog.copies import Likeness, find_copies, find_shared_sentences
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.domains import load_domains
from quorate.catalog.files import BUILTIN
from quorate.catalog.rehearsal import rehearse
from quorate.catalog.shape import AgentFile, Fault

COPY = 0.5
"""How alike two files may be: the share of word 5-grams that both have."""
STRICT_COPY = 0.2
"""The same in a catalogue."""
Found = Sequence[tuple[AgentFile, AgentDefinition]]


class Review(Struct, frozen=True, kw_only=True):
    """What came of looking at some directories of agents."""

    agents: tuple[str, ...]
    """The names of those that have no fault."""
    faults: tuple[Fault, ...]


def review_agents(
    directories: Sequence[Path] = (),
    *,
    tools: Tools | None = None,
    may_replace: bool = False,
    strict: bool = False,
    builtin: Path | None = BUILTIN,
) -> Review:
    """Look closely at all agent files of some directories, and at the built-in ones.

    Beside all that `load_catalog` refuses, each file must have an evaluation whose cases tell good answers from bad
    ones, a name that looks like no other, and a text of its own. The built-in ones must say all that a catalogue's
    agents should; with `strict`, all must.

    Args:
        directories: Where a user's own agents are.
        tools: The tools there are, or their names alone; without it, tools are not looked up.
        may_replace: Whether a file marked `replaces = true` may stand in for a built-in agent.
        strict: Whether all files must say what those of a catalogue do.
        builtin: The directory of built-in agents; `None` for none.
    """
    rules = Rules(tools=tools, may_replace=may_replace, thorough=True, is_whole=True)
    collected = collect(list_roots(directories, builtin), rules)
    found, faults = collected.definitions, [*collected.faults]
    whole = [(file, definition) for file, definition in found if strict or file.builtin]
    domains = load_domains(*directories)
    names = frozenset(tools or ())
    for file, definition in found:
        faults += _review_file(file, definition)
    for file, definition in whole:
        faults += check_complete(file, definition, tools=names, domains=domains)
    faults += [*_compare_names(found), *_compare_examples(found), *_compare_texts(found, strict=strict)]
    told = sorted(set(faults))
    broken = {fault.path for fault in told}
    return Review(
        agents=tuple(sorted(definition.name for file, definition in found if file.path not in broken)),
        faults=tuple(told),
    )


def _review_file(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    if not definition.cases and "## Evaluation" not in file.front.body:
        what = "there is no evaluation; write `## Evaluation` with a case in a ```toml block"
        yield Fault(path=file.path, line=file.front.body_line, what=what)
    places = [at for at, line in enumerate(file.front.body.split("\n")) if line.startswith("```toml")]
    for number, what in rehearse(definition):
        place = places[number] if number < len(places) else 0
        line = file.front.body_line + place
        yield Fault(path=file.path, line=line, what=f"`## Evaluation`, case {number + 1}: {what}")


def _compare_names(found: Found) -> Iterator[Fault]:
    files = {definition.name: file for file, definition in found}
    tiers = {definition.name: definition.tier for _, definition in found}
    for name, other, how in find_alike(tiers):
        yield files[name].fault(f"`name` {name!r} {how} {other!r} ({files[other].path}); rename one of them", "name")


def _compare_examples(found: Found) -> Iterator[Fault]:
    first: dict[str, AgentDefinition] = {}
    for file, definition in found:
        for example in definition.examples:
            other = first.setdefault(" ".join(example.casefold().split()), definition)
            if other.name != definition.name:
                what = f"{example!r} is an example of {other.name!r} too; a request is for one agent, so change one"
                yield file.fault(what, "examples", containing=example[:30])


def _compare_texts(found: Found, *, strict: bool) -> Iterator[Fault]:
    files = {definition.name: file for file, definition in found}
    texts = {definition.name: definition.instructions for _, definition in found}
    is_whole = {name: strict or file.builtin for name, file in files.items()}
    nearest: dict[str, Likeness] = {}
    for alike in find_copies(texts, above=STRICT_COPY):
        known = nearest.setdefault(alike.name, alike)
        if alike.share > known.share:
            nearest[alike.name] = alike
    for alike in nearest.values():
        both = is_whole[alike.name] and is_whole[alike.other]
        most = STRICT_COPY if both else COPY
        if alike.share > most:
            what = f"{alike.share:.0%} of its text is that of {files[alike.other].path}; at most {most:.0%} may be"
            yield files[alike.name].fault(f"{what}: write what is its own, or make one agent of both", "description")
    whole = {name: text for name, text in texts.items() if is_whole[name]}
    for name, other, sentence in find_shared_sentences(whole):
        file = files[name]
        place = file.front.body.find(sentence[:40])
        line = file.front.body_line + file.front.body.count("\n", 0, max(0, place))
        what = f"{sentence[:80]!r} stands in {files[other].path} too; say it in words of this field"
        yield Fault(path=file.path, line=line, what=what)
