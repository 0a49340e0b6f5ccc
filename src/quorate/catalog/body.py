"""What do the sections below the front matter say: instructions, gates, whom to hand over to, and cases?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from quorate.catalog.case import Case
from quorate.catalog.definition import Gate

SECTIONS = ("Inputs", "Method", "Knowledge", "Gates", "Boundaries", "Hand over", "Evaluation")
"""The headings that are read, in the order in which they are written."""
READ = ("Gates", "Hand over", "Evaluation")
"""Those that not only models read."""
MOST_CASES = 20
FENCE = "```"
_HEADING = re.compile(r"## +(\S.*)")
_BULLET = re.compile(r"^(?:[-*]|\d+\.) +(.*(?:\n(?![-*] |\d+\. |#|```|\n).*)*)", re.MULTILINE)
_HAND_OVER = re.compile(r"^(Up to|To) `([^`]*)`: ?(.+)")
_HAND_OVER_SECTION = re.compile(r"^## Hand over *$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")
_ERROR_PATH = re.compile(r" - at `\$\.?([^`]*)`")


class Section(Struct, frozen=True, kw_only=True):
    """A heading with what stands below it."""

    title: str
    text: str
    line: int
    """The line of the file on which the heading stands."""

    @property
    def items(self) -> list[str]:
        """Its bullets or numbered steps."""
        return [match[1].strip() for match in _BULLET.finditer(self.text)]


class Remark(Struct, frozen=True, kw_only=True):
    """Something wrong with the text, and where."""

    line: int
    what: str


class Body(Struct, frozen=True, kw_only=True):
    """What the Markdown of a file says."""

    instructions: str
    """All of it but the evaluation."""
    gates: tuple[Gate, ...] = ()
    escalates_to: str = ""
    hands_off: dict[str, str] = {}
    cases: tuple[Case, ...] = ()
    remarks: tuple[Remark, ...] = ()


def split_sections(text: str, *, first: int = 1) -> list[Section]:
    """Split Markdown at its second-level headings; what stands before them is a section without a title.

    Args:
        text: The Markdown.
        first: The file's line on which it begins.
    """
    sections: list[Section] = []
    title, begun, fenced = "", first, False
    held: list[str] = []

    def close() -> None:
        # What follows a heading keeps its line breaks, so that places in it can be told.
        text = "\n".join(held)
        sections.append(Section(title=title, text=f"\n{text}" if title else text.strip(), line=begun))

    for number, line in enumerate(text.split("\n"), first):
        if line.startswith(FENCE):
            fenced = not fenced
        found = None if fenced else _HEADING.fullmatch(line.rstrip())
        if found is None:
            held.append(line)
            continue
        close()
        title, begun = found[1], number
        held.clear()
    close()
    return sections


def read_body(text: str, *, first: int = 1) -> Body:
    """Read the Markdown of an agent file.

    Args:
        text: The Markdown.
        first: The file's line on which it begins.
    """
    if "## " not in text:
        return Body(instructions=text.strip())
    sections = split_sections(text, first=first)
    told = [section for section in sections if section.title != "Evaluation"]
    instructions = text.strip()
    if len(told) < len(sections):
        parts = (f"## {one.title}\n{one.text.strip(chr(10))}" if one.title else one.text for one in told)
        instructions = "\n\n".join(part.strip() for part in parts).strip()
    remarks: list[Remark] = []
    found: dict[str, Section] = {}
    for section in sections:
        if found.setdefault(section.title, section) is not section and section.title in READ:
            what = f"there is a section `## {section.title}` already; put both into one"
            remarks.append(Remark(line=section.line, what=what))
    gates = found.get("Gates")
    up, to = _read_hand_over(found["Hand over"], remarks) if "Hand over" in found else ("", {})
    tried = tuple(_read_cases(found["Evaluation"], remarks)) if "Evaluation" in found else ()
    return Body(
        instructions=instructions,
        gates=tuple(map(_read_gate, gates.items)) if gates else (),
        escalates_to=up,
        hands_off=to,
        cases=tried,
        remarks=tuple(remarks),
    )


def read_hand_over(text: str) -> tuple[str, dict[str, str]]:
    """Read to whom work goes up and is handed over, from the Markdown of a file that is known to be sound."""
    found = _HAND_OVER_SECTION.search(text)
    if found is None:
        return "", {}
    return _read_hand_over(Section(title="Hand over", text=found[1], line=1), [])


def find_line(section: Section, text: str) -> int:
    """Find the file's line on which some words of a section begin."""
    place = section.text.find(text)
    return section.line + section.text.count("\n", 0, max(0, place))


def _read_gate(item: str) -> Gate:
    text = _join(item)
    place = text.rfind("`=")
    condition = text[place + 2 : -1].strip()
    if place < 0 or not text.endswith("`") or "`" in condition or not condition:
        return Gate(text=text)
    return Gate(text=text[:place].rstrip().removesuffix(":"), condition=condition)


def _read_hand_over(section: Section, remarks: list[Remark]) -> tuple[str, dict[str, str]]:
    up, to = "", dict[str, str]()
    for item in section.items:
        found, line = _HAND_OVER.match(_join(item)), find_line(section, item)
        if found is None:
            shown = item.splitlines()[0][:60]
            what = (
                f"`## Hand over`: {shown!r} is not read; write ``- Up to `agent`: when …`` or ``- To `agent`: when …``"
            )
            remarks.append(Remark(line=line, what=what))
        elif found[1] == "To":
            to[found[2]] = found[3]
        elif up:
            what = f"`## Hand over`: it goes up to {up!r} already; keep one `Up to`, and write `To` for the others"
            remarks.append(Remark(line=line, what=what))
        else:
            up = found[2]
    return up, to


def _read_cases(section: Section, remarks: list[Remark]) -> Iterator[Case]:
    blocks = list(_split_blocks(section))
    if not blocks:
        remarks.append(Remark(line=section.line, what="`## Evaluation` has no ```toml block; write a case in one"))
    if len(blocks) > MOST_CASES:
        what = f"`## Evaluation` has {len(blocks)} cases; at most {MOST_CASES} are read, so choose"
        remarks.append(Remark(line=section.line, what=what))
    for line, block in blocks[:MOST_CASES]:
        try:
            yield msgspec.convert(tomllib.loads(block), Case)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            place = _PLACE.search(str(error))
            what = f"this case is not TOML: {_PLACE.sub('', str(error))}; mend the line"
            remarks.append(Remark(line=line + (int(place[1]) if place else 0), what=what))
        except msgspec.ValidationError as error:
            place = _ERROR_PATH.search(str(error))
            said = _ERROR_PATH.sub("", str(error))
            where = f"`{place[1]}`: " if place and place[1] else ""
            what = f"`## Evaluation`: {where}{said[:1].lower()}{said[1:]}; mend the case"
            remarks.append(Remark(line=line + _find_key(block, place[1] if place else ""), what=what))


def _split_blocks(section: Section) -> Iterator[tuple[int, str]]:
    """Yield the blocks of TOML of a section, each with the line of its fence."""
    held: list[str] | None = None
    begun, fenced = 0, False
    for number, line in enumerate(section.text.split("\n"), section.line):
        if not line.startswith(FENCE):
            if held is not None:
                held.append(line)
        elif fenced:
            if held is not None:
                yield begun, "".join(f"{line}\n" for line in held)
            held, fenced = None, False
        else:
            begun, fenced = number, True
            held = list[str]() if line.rstrip() == f"{FENCE}toml" else None


def _find_key(toml: str, path: str) -> int:
    from_key = path.split(".")[0].split("[")[0]
    for number, line in enumerate(toml.split("\n"), 1):
        if from_key and re.match(rf"\s*\[?{re.escape(from_key)}\b", line):
            return number
    return 0


def _join(text: str) -> str:
    return " ".join(text.split())
