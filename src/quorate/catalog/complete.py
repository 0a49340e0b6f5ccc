"""Does an agent file say all that one of a catalogue should, and does it say something of its own field?"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from quorate.catalog.body import SECTIONS, Section, find_line, split_sections
from quorate.catalog.definition import AGENT_PREFIX, AgentDefinition
from quorate.catalog.shape import AgentFile, Fault, suggest

LEAST_ITEMS = {"triggers": 6, "examples": 3, "not_for": 2}
MOST_ITEMS = {"triggers": 40, "examples": 8, "tools": 12, "tags": 6}
DESCRIPTION = (60, 300)
"""Characters of a description, at least and at most."""
INSTRUCTIONS = (1200, 9000)
"""Characters of the instructions."""
MOST_LINE = 240
LEAST_OPENING = 60
LEAST_BULLETS = {"Inputs": 2, "Method": 4, "Knowledge": 5, "Gates": 3, "Boundaries": 2}
CONCRETE_SHARE = 0.6
"""How many of the bullets of `## Knowledge` must hold a number, a name, or something in code."""
FILLER = (
    "best practice", "comprehensive", "cutting-edge", "deep expertise", "ensure that", "helps with", "holistic",
    "in today's", "industry-leading", "is essential", "it is important to", "leverage", "robust solution", "seamless",
    "state-of-the-art", "various aspects", "world-class", "you are a helpful", "you are an expert",
)  # fmt: skip
"""Words that say nothing: whoever finds them has not said yet what is meant."""
_CODE = re.compile(r"`([^`\n]+)`")
_TOOL_LIKE = re.compile(r"[a-z]+(?:_[a-z]+)+")
_CONCRETE = re.compile(r"\d|`[^`]+`|(?<=[a-z,;(] )[A-Z][\w+-]+|\b[A-Z]{2,}\b|[A-Z][a-z]+[A-Z]|[=<>≤≥×%]")


def check_complete(
    file: AgentFile, definition: AgentDefinition, *, tools: Collection[str], domains: Collection[str]
) -> Iterator[Fault]:
    """Yield what a file of a catalogue lacks.

    Args:
        file: The file.
        definition: What it says.
        tools: The names of all tools there are; none where they are not known.
        domains: The fields there are.
    """
    yield from _check_front(file, definition, domains)
    sections = split_sections(file.front.body, first=file.front.body_line)
    yield from _check_sections(file, definition, sections)
    yield from _check_lengths(file, definition)
    yield from _check_words(file, definition, sections, tools)


def _check_front(file: AgentFile, definition: AgentDefinition, domains: Collection[str]) -> Iterator[Fault]:
    for key, least in LEAST_ITEMS.items():
        count = len(getattr(definition, key))
        if count < least:
            yield file.fault(f"`{key}` has {count} entries; write at least {least}", key)
    for key, most in MOST_ITEMS.items():
        count = len(getattr(definition, key))
        if count > most:
            yield file.fault(f"`{key}` has {count} entries; at most {most}, so choose", key)
    size, (least, most) = len(definition.description), DESCRIPTION
    if not least <= size <= most:
        yield file.fault(f"`description` has {size} characters; write {least} to {most}", "description")
    if definition.domain not in domains:
        yield file.fault(f"there is no domain {definition.domain!r}; {suggest(definition.domain, domains)}", "domain")
    folder = os.path.basename(os.path.dirname(file.path))
    if file.builtin and folder != definition.domain:
        yield file.fault(f"its domain is {definition.domain!r}, and its folder {folder!r}; move the file", "domain")
    if not definition.has_playbook and definition.output == "diagnosis" and not definition.tools:
        yield file.fault("a diagnosis rests on measurements, and there are no `tools`; name some", "output")


def _check_sections(file: AgentFile, definition: AgentDefinition, sections: list[Section]) -> Iterator[Fault]:
    found = {section.title: section for section in sections}
    titles = [section.title for section in sections if section.title]
    wanted = [title for title in SECTIONS if title in found or not (title == "Knowledge" and definition.has_playbook)]
    for title in wanted:
        if title not in found and title != "Evaluation":  # without cases, that is told for every file
            yield _fault(file, file.front.body_line, f"the section `## {title}` is missing; write it")
    for section in sections:
        if section.title and section.title not in SECTIONS:
            what = f"there is no section `## {section.title}`; {suggest(section.title, SECTIONS)}"
            yield _fault(file, section.line, what)
    known = [title for title in titles if title in SECTIONS]
    if known != [title for title in SECTIONS if title in known]:
        order = ", ".join(f"`{title}`" for title in SECTIONS if title in known)
        yield _fault(file, found[known[0]].line, f"the sections stand in this order: {order}; move them")
    if len(found[""].text) < LEAST_OPENING:
        what = f"the opening has {len(found[''].text)} characters; say in {LEAST_OPENING} or more what it does"
        yield _fault(file, file.front.body_line, what)
    for title, least in LEAST_BULLETS.items():
        if title not in found:
            continue
        needed = min(least, 3) if definition.has_playbook else least
        count = len(found[title].items)
        if count < needed:
            what = f"`## {title}` has {count} entries; write at least {needed}, each in a line that begins with `- `"
            yield _fault(file, found[title].line, what)
    if "Gates" in found and definition.output != "text" and not any(gate.condition for gate in definition.gates):
        what = "`## Gates` has none that can be checked; end one with a condition: `= size(output.…) > 0`"
        yield _fault(file, found["Gates"].line, what)
    if "Hand over" in found and definition.tier != "core" and not definition.escalates_to:
        yield _fault(file, found["Hand over"].line, "`## Hand over` has no ``- Up to `agent`: when …``; write it")


def _check_lengths(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    size, (least, most) = len(definition.instructions), INSTRUCTIONS
    if not least <= size <= most:
        what = f"the instructions have {size} characters; write {least} to {most}"
        yield _fault(file, file.front.body_line, what)
    for number, line in enumerate(file.front.body.split("\n"), file.front.body_line):
        if len(line) > MOST_LINE:
            yield _fault(file, number, f"the line has {len(line)} characters; at most {MOST_LINE}, so divide it")


def _check_words(
    file: AgentFile, definition: AgentDefinition, sections: list[Section], tools: Collection[str]
) -> Iterator[Fault]:
    for section in sections:
        if section.title == "Knowledge" and section.items:
            concrete = sum(bool(_CONCRETE.search(item)) for item in section.items)
            if concrete < CONCRETE_SHARE * len(section.items):
                what = f"{concrete} of {len(section.items)} bullets of `## Knowledge` hold a number, a name or code; "
                yield _fault(file, section.line, what + "write what only this field knows")
        if section.title == "Evaluation":
            continue
        low = section.text.casefold()
        for phrase in FILLER:
            if phrase in low:
                line = section.line + section.text.count("\n", 0, low.index(phrase))
                yield _fault(file, line, f"{phrase!r} says nothing; say what is meant, or take it out")
        yield from _check_named_tools(file, definition, section, tools)
    named = [name for name in definition.tools if not name.startswith(AGENT_PREFIX)]
    if named and not any(f"`{name}`" in definition.instructions for name in named):
        yield file.fault("the instructions name none of its tools; say in `## Method` what each is for", "tools")


def _check_named_tools(
    file: AgentFile, definition: AgentDefinition, section: Section, tools: Collection[str]
) -> Iterator[Fault]:
    own = {*definition.tools, *(name.replace("-", "_") for name in definition.delegates)}
    for word in dict.fromkeys(_CODE.findall(section.text)):
        if _TOOL_LIKE.fullmatch(word) and word in tools and word not in own:
            line = find_line(section, f"`{word}`")
            yield _fault(file, line, f"`{word}` is a tool that it does not have; add it to `tools`, or name another")


def _fault(file: AgentFile, line: int, what: str) -> Fault:
    return Fault(path=file.path, line=line, what=what)
