"""Do the pages hang together: is each one found from the first, and do the commands they show exist?"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs/index.md"
GUIDES = [
    ROOT / "README.md",
    ROOT / "docs/quickstart.md",
    ROOT / "docs/concepts.md",
    *(ROOT / "docs/how-to").rglob("*.md"),
]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"```.*?```", re.DOTALL)
COMMAND = re.compile(r"^\$ (?:\S+=\S+ )*(?:\S*/)?(quorate .*?)(?:  +.*)?(?:  +#.*)?$", re.MULTILINE)
SENTENCES = re.compile(r"[a-z`)][.!?] +[A-Z`]")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def list_pages() -> list[Path]:
    """The pages people write: what is generated is held by its own test."""
    return [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "reference" not in p.parts)]


def test_every_page_is_found_from_the_index() -> None:
    """Following links from `docs/index.md` leads to every page."""
    found, waiting = set[Path](), [INDEX]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md" or not page.is_file():
            continue
        found.add(page)
        links = LINK.findall(CODE.sub("", read(page)))
        waiting += [(page.parent / link).resolve() for link in links]
    lost = [p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md")) if p not in found]
    assert not lost, f"no page leads to {lost}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_one_sentence_per_line(page: Path) -> None:
    """A change of one sentence is a change of one line; tables and lists of short notes are left alone."""
    prose = CODE.sub("", read(page)).splitlines()
    crowded = [line for line in prose if SENTENCES.search(line) and not line.startswith(("|", "- ", "*", "  "))]
    assert not crowded, "\n".join(crowded)


def find_commands() -> Iterator[tuple[str, list[str]]]:
    """Every `quorate …` in a console block, with its page."""
    for page in [*list_pages(), *sorted((ROOT / "docs/reference").glob("*.md"))]:
        for block in re.findall(r"```console\n(.*?)```", read(page), re.DOTALL):
            for line in COMMAND.findall(block):
                yield page.name, shlex.split(line, comments=True)


def test_the_commands_of_the_pages_exist() -> None:
    """Each command and option that a page shows is one that the command line has."""
    from typer.main import get_command

    from quorate.cli.app import build_app

    faults: list[str] = []
    line = get_command(build_app())
    for page, words in find_commands():
        command, rest = line, words[1:]
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]  # type: ignore[attr-defined]
        if getattr(command, "commands", None) and not (rest and rest[0].startswith("-")):
            faults.append(f"{page}: there is no `{' '.join(words)}`")
            continue
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
        faults += [
            f"{page}: `{' '.join(words)}` has no {word}" for word in rest if word.startswith("-") and word not in known
        ]
    assert not faults, "\n".join(faults)
