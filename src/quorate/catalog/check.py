"""What is wrong with agent files, all of it at once, and what should be written instead?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

from msgspec import structs

from quorate.catalog.definition import AGENT_PREFIX, IDENTIFIER, TOOL_NAME, TOOLSET_PREFIX, AgentDefinition, AgentEntry
from quorate.catalog.gates import NAMES
from quorate.catalog.outputs import PLAIN_OUTPUTS, check_fields, load_outputs
from quorate.catalog.relations import check_relations
from quorate.catalog.shape import AgentFile, Fault, read_definition, suggest
from quorate.catalog.toolsets import load_toolsets
from quorate.conditions import compile_condition
from quorate.errors import MissingExtra, QuorateError
from quorate.models.playbook.check import check_playbook
from quorate.models.playbook.define import Playbook
from quorate.ports import Toolset
from quorate.specs import ToolSpec

Tools = Mapping[str, Toolset] | Collection[str]
"""The tools there are by name, or their names alone."""
AGENT_PARAMETERS: dict[str, object] = {"properties": {"task": {"type": "string"}}, "required": ["task"]}
"""What an agent takes as a tool, as far as a playbook's calls are checked."""
MOST_CHARACTERS = {"version": 32, "description": 500, "deprecated": 200, "instructions": 32_000}
MOST_ITEMS = {"triggers": 100, "tools": 64, "examples": 50, "not_for": 50, "tags": 20, "requires": 20}
MOST_ITEM_CHARACTERS = {"triggers": 80, "tools": 128, "examples": 500, "not_for": 500, "tags": 63, "requires": 63}
_PLACE_PART = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]")
_WORD = re.compile(r"\w+")
# Letters that are drawn like Latin ones; a word that mixes them with Latin means to deceive, or will.
_ALIKE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# A style mark after a symbol chooses its picture; anywhere else it is hidden.
_EMOJI_STYLE = re.compile("(?<=[\u2190-\u32ff\U0001f000-\U0001faff])\ufe0f")
# Shown as nothing at all, though Unicode does not call them format characters.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def check_file(file: AgentFile, *, thorough: bool = False) -> tuple[AgentDefinition, list[Fault]]:
    """Read one file's values and list its faults; where there are some, the definition serves to find more alone.

    Those that are built in were checked before they were shipped, and the language of conditions loads slowly: their
    gates are only looked at where this is to be `thorough`.
    """
    definition, faults = read_definition(file)
    faults += [*_check_name(file), *_check_values(file, definition), *_check_texts(file, definition)]
    faults += _check_output(file, definition)
    if thorough or not file.builtin:
        faults += _check_gates(file, definition)
    return definition, faults


def check_together(
    found: Sequence[tuple[AgentFile, AgentEntry]],
    *,
    tools: Tools | None,
    may_replace: bool,
    unread: Collection[str] = (),
    thorough: bool = False,
) -> list[Fault]:
    """List what is wrong between files: names that come twice, unknown tools and agents, agents in a circle.

    Args:
        found: The files that could be split, with what they say.
        tools: The tools there are, where they are known.
        may_replace: Whether a marked file may stand in for a built-in.
        unread: The names of files that could not be split: there all the same.
        thorough: Whether to look at the tools, playbooks and relations of built-in agents too, which were checked
            before they were shipped.
    """
    known = {definition.name for _, definition in found} | set(unread)
    faults = list(_check_duplicates(found, may_replace=may_replace))
    for file, definition in found:
        if thorough or not file.builtin:
            faults += _check_tools(file, definition, tools=tools, agents=known)
            if isinstance(definition, AgentDefinition):
                faults += _check_playbook(file, definition, tools=tools)
    return faults + list(check_relations(found, unread=unread, thorough=thorough))


def find_deception(text: str) -> str:
    """Say which characters of a text are invisible or drawn like others; empty when there are none."""
    if text.isascii() and not _CONTROL.search(text):
        return ""
    text = _EMOJI_STYLE.sub("", text)
    for character in sorted(set(text) - {"\n", "\t", "\r"}):
        if unicodedata.category(character) in {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"} or _BLANK.match(character):
            return f"has the invisible character {_spell(character)}; take it out"
    for word in _WORD.findall(text):
        if word.isascii():
            continue
        odd = next((c for c in word if _is_disguised(c)), "") or _find_mixed(word)
        if odd:
            return f"has {odd!r} ({_spell(odd)}), which looks like another letter, in {word!r}; write the plain letter"
    return ""


def _spell(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed')}"


def _is_disguised(character: str) -> bool:
    plain = unicodedata.normalize("NFKC", character)
    return not character.isascii() and plain.isascii() and plain.isalpha()


def _find_mixed(word: str) -> str:
    if word.isascii() or not any(c.isascii() and c.isalpha() for c in word):
        return ""
    return next((c for c in word if unicodedata.name(c, "").startswith(_ALIKE)), "")


def _check_name(file: AgentFile) -> Iterator[Fault]:
    name = file.front.table.get("name")
    if not isinstance(name, str):
        return
    if deception := "" if name.isascii() else find_deception(name) or "is not ASCII; write plain letters":
        yield file.fault(f"`name` {name!r} {deception}", "name")
    elif not IDENTIFIER.fullmatch(name):
        yield file.fault(f"`name` {name!r} is not a name; use at most 63 of `a-z`, `0-9` and `-`, no `-` first", "name")
    elif name != file.stem:
        yield file.fault(f"`name` is {name!r}, but the file is called `{file.stem}.md`; rename one of them", "name")


def _check_values(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    for key in ("triggers", "examples"):
        if not getattr(definition, key):
            yield file.fault(f"`{key}` is empty; without one, no request can be routed here", key)
    for key in ("description", "version"):
        if not getattr(definition, key).strip():
            yield file.fault(f"`{key}` is empty; write it", key)
    if not definition.instructions:
        line = file.front.body_line
        yield Fault(path=file.path, line=line, what="there are no instructions below the front matter; write them")
    names = [(key, name) for key in ("tags", "requires") for name in getattr(definition, key)]
    for key, value in (("domain", definition.domain), *names):
        if not IDENTIFIER.fullmatch(value):
            yield file.fault(f"`{key}`: {value!r} is not a name; use `a-z`, `0-9` and `-`", key, containing=value)
    for key, value in structs.asdict(definition.limits).items():
        if value is not None and value <= 0:
            yield file.fault(f"`limits.{key}` is {value!r}; a limit is more than 0", "limits", key)


def _check_output(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    name, fields = definition.output, definition.fields
    if name not in PLAIN_OUTPUTS and name not in (shapes := load_outputs()):
        yield file.fault(f"there is no output {name!r}; {suggest(name, [*PLAIN_OUTPUTS, *shapes])}", "output")
    if fields and name != "fields":
        yield file.fault(
            f'`[fields]` is for `output = "fields"`, and it is {name!r}; write that, or no fields', "fields"
        )
    elif name == "fields" and not fields:
        yield file.fault("`output` is `fields`, and there are none; write `[fields]`", "output")
    for field, what in check_fields(fields):
        yield file.fault(f"`fields.{field}`: {what}" if field else f"`fields`: {what}", "fields", field)


def _check_gates(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    for gate in definition.gates:
        if not gate.condition:
            continue
        place = file.front.body.find(gate.text.split(" (")[0][:40])
        line = file.front.body_line + file.front.body.count("\n", 0, max(0, place))
        if definition.output == "text":
            what = f"the gate {gate.text!r} has a condition, and text has no fields; give `output` a type"
            yield Fault(path=file.path, line=line, what=what)
            continue
        try:
            compile_condition(gate.condition, names=NAMES)
        except QuorateError as error:
            yield Fault(path=file.path, line=line, what=f"the gate {gate.text!r}: {error.message}")


def _check_texts(file: AgentFile, definition: AgentDefinition) -> Iterator[Fault]:
    for key, most in MOST_CHARACTERS.items():
        text: str = getattr(definition, key)
        if len(text) > most:
            yield file.fault(f"`{key}` has {len(text)} characters; at most {most}, so shorten it", key)
        if deception := find_deception(text):
            place = _find_body_line(file, text) if key == "instructions" else None
            fault = file.fault(f"`{key}` {deception}", key)
            yield structs.replace(fault, line=place) if place else fault
    for key, most in MOST_ITEMS.items():
        items: tuple[str, ...] = getattr(definition, key)
        if len(items) > most:
            yield file.fault(f"`{key}` has {len(items)} entries; at most {most}, so choose", key)
        yield from _check_items(file, key, items)


def _check_items(file: AgentFile, key: str, items: tuple[str, ...]) -> Iterator[Fault]:
    most = MOST_ITEM_CHARACTERS[key]
    for position, item in enumerate(items):
        named = f"`{key}[{position}]`"
        if not item.strip():
            yield file.fault(f"{named} is empty; take it out", key)
        elif len(item) > most:
            yield file.fault(f"{named} has {len(item)} characters; at most {most}", key, containing=item[:20])
        elif deception := find_deception(item):
            yield file.fault(f"{named} {deception}", key, containing=item)
        elif item in items[:position]:
            yield file.fault(f"{named} {item!r} is there twice; take one out", key, containing=item)


def _find_body_line(file: AgentFile, text: str) -> int:
    for number, line in enumerate(file.front.body.split("\n"), file.front.body_line):
        if find_deception(line.rstrip("\r")):
            return number
    return file.front.body_line


def _check_duplicates(found: Sequence[tuple[AgentFile, AgentEntry]], *, may_replace: bool) -> Iterator[Fault]:
    first: dict[str, tuple[AgentFile, AgentEntry]] = {}
    for file, definition in found:
        name = definition.name
        other, replaced = first.setdefault(name, (file, definition))
        marked = definition.replaces and other.builtin and not file.builtin
        if other is file:
            continue
        if marked and may_replace:
            if definition.tier != replaced.tier:
                what = f"it stands in for a {replaced.tier} agent, and says {definition.tier!r}; keep that one's tier"
                yield file.fault(what, "tier")
        elif marked:
            yield file.fault("`replaces = true` is not allowed here; rename the agent, or allow replacing", "replaces")
        elif other.builtin and not file.builtin:
            yield file.fault(f"`name` {name!r} is a built-in's ({other.path}); choose another name", "name")
        else:
            yield file.fault(f"`name` {name!r} is also that of {other.path}; rename one of them", "name")


def _check_tools(
    file: AgentFile, definition: AgentEntry, *, tools: Tools | None, agents: Collection[str]
) -> Iterator[Fault]:
    for tool in definition.tools:
        if tool.startswith(AGENT_PREFIX):
            agent = tool.removeprefix(AGENT_PREFIX)
            if agent not in agents:
                yield file.fault(f"there is no agent {agent!r}; {suggest(agent, agents)}", "tools", containing=tool)
        elif tool.startswith(TOOLSET_PREFIX):
            toolset, sets = tool.removeprefix(TOOLSET_PREFIX), load_toolsets()
            yield file.fault(f"there is no toolset {toolset!r}; {suggest(toolset, sets)}", "tools", containing=tool)
        elif not TOOL_NAME.fullmatch(tool):
            yield file.fault(f"{tool!r} is not a tool's name; use letters, digits and `_`", "tools", containing=tool)
        elif tools is not None and tool not in tools:
            yield file.fault(f"there is no tool {tool!r}; {suggest(tool, tools)}", "tools", containing=tool)


def _check_playbook(file: AgentFile, definition: AgentDefinition, *, tools: Tools | None) -> Iterator[Fault]:
    playbook = definition.playbook
    if playbook is None:
        return
    offered = {tool for tool in definition.tools if not tool.startswith(AGENT_PREFIX)}
    offered |= {agent.replace("-", "_") for agent in definition.delegates}
    for number, step in enumerate(playbook.steps):
        if step.tool not in offered:
            what = f"{step.tool!r} is not one of the agent's `tools`; {suggest(step.tool, offered)}"
            yield file.fault(what, "playbook", "steps", number, "tool")
    try:
        compile_condition("true")
    except MissingExtra as error:
        yield file.fault(f"the playbook cannot be checked: {error.message}", "playbook")
        return
    for text in check_playbook(playbook, _find_specs(definition, tools)):
        place, _, what = text.partition(": ")
        if not (place.endswith(".tool") and what.startswith("there is no tool")):
            yield file.fault(f"`playbook.{place}`: {what}", "playbook", *_read_place(place, playbook))


def _find_specs(definition: AgentDefinition, tools: Tools | None) -> list[ToolSpec] | None:
    """Return what is known about the agent's tools; `None` where names alone are known."""
    if not isinstance(tools, Mapping):
        return None
    known = cast("Mapping[str, Toolset]", tools)  # what else a mapping could hold, the type of `Tools` rules out
    own = [spec for name in definition.tools if name in known for spec in known[name].specs()]
    agents = [ToolSpec(name=name.replace("-", "_"), parameters=AGENT_PARAMETERS) for name in definition.delegates]
    return own + agents


def _read_place(place: str, playbook: Playbook) -> Iterator[str | int]:
    """Turn the place of a playbook's fault into that of its key; steps are named by their id there."""
    ids = [step.id for step in playbook.steps]
    parts = _PLACE_PART.findall(place)
    for position, (name, number) in enumerate(parts):
        if position == 1 and parts[0][0] == "steps" and name in ids:
            yield ids.index(name)
        else:
            yield name or int(number)
