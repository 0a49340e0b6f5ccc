"""Which pages of the documentation are written by the source, and what do they say?

`python scripts/build_docs.py` writes them; `--check` only says which are out of date.
"""

import ast
import importlib.util
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from enum import EnumType
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.http_page import build_http  # noqa: E402
from scripts.tools_page import build_tools_page  # noqa: E402
from scripts.workflow_page import build_workflow_files  # noqa: E402
from tests.house import api  # noqa: E402
from tests.house.source import Source, classes, dotted, sources  # noqa: E402

ROW = re.compile(r"\brow:\s*([A-E]\d+(?:\s*,\s*[A-E]\d+)*)")
UNLISTED = {"help", "install_completion", "show_completion"}
NOTE = "<!-- Written by `make docs`; edit the source instead. -->\n"


def find_rows() -> dict[str, list[str]]:
    """Every feature row named in a test docstring, with the tests that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        holders = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        for node in [tree, *holders]:
            name = path.relative_to(ROOT).as_posix() + ("" if isinstance(node, ast.Module) else f"::{node.name}")
            for match in ROW.finditer(ast.get_docstring(node) or ""):
                for row in re.split(r"\s*,\s*", match.group(1)):
                    found.setdefault(row, []).append(name)
    return found


def load_sections() -> list[tuple[str, dict[str, str]]]:
    """The sections of the promise: a title and its rows."""
    table = tomllib.loads((ROOT / "docs/features.toml").read_text(encoding="utf-8"))
    return [(section["title"], section["rows"]) for section in table["section"]]


def build_features() -> str:
    """The table of features with the tests that prove them, then what is still to come."""
    proven = find_rows()
    intro = "A row is listed with the tests that prove it, or the part of it there is so far, against the real thing."
    text = f"# Features\n\n{NOTE}\n{intro}\n"
    later: list[str] = []
    for title, rows in load_sections():
        lines = [f"| {r} | {name} | {link_tests(proven[r])} |" for r, name in rows.items() if r in proven]
        later += [f"- {name} ({r})" for r, name in rows.items() if r not in proven]
        if lines:
            text += f"\n## {title}\n\n| row | feature | tests |\n|---|---|---|\n" + "\n".join(lines) + "\n"
    return text + (
        "\n## Planned\n\nNothing here is claimed to work yet.\n\n" + "\n".join(later) + "\n" if later else ""
    )


def link_tests(names: list[str]) -> str:
    """One cell: each test file once, with its tests."""
    files: dict[str, list[str]] = {}
    for name in names:
        path, _, test = name.partition("::")
        files.setdefault(path, []).append(test)
    cells = [f"[{p.removeprefix('tests/')}](../{p})" + link_names(tests) for p, tests in sorted(files.items())]
    return "<br>".join(cells)


def link_names(tests: list[str]) -> str:
    """The tests of one file, if the file does not stand for itself."""
    kept = sorted({t for t in tests if t})
    return ": " + ", ".join(f"`{t}`" for t in kept) if kept else ""


def build_api() -> str:
    """Every public name with its signature and docstring."""
    text = f"# API reference\n\n{NOTE}\nEverything here is importable from `quorate`.\n"
    for name in api.load_names():
        public = api.find_public(name)
        if public is None:
            continue
        code = "\n".join(api.describe(public))
        text += f"\n## {name}\n\n```text\n{code}\n```\n\n{clean(api.find_docstring(public))}\n"
        if isinstance(public.node, ast.ClassDef):
            for method in api.find_methods(public.node):
                text += f"\n### {name}.{method.name}\n\n{clean(ast.get_docstring(method))}\n"
    return text


def clean(docstring: str | None) -> str:
    """A docstring as Markdown: Google sections become bold words with a list."""
    lines: list[str] = []
    in_section = False
    for line in (docstring or "").strip().splitlines():
        heading = re.fullmatch(r"(Args|Returns|Raises|Yields|Attributes):", line)
        if heading:
            in_section = True
            lines += [f"**{heading.group(1)}**", ""]
        elif in_section and re.match(r"    \S", line):
            lines.append("- " + re.sub(r"^(\w+):", r"`\1`:", line.strip()))
        else:
            in_section = in_section and (not line or line.startswith(" "))
            lines.append(line if not in_section else line.removeprefix("  "))
    return "\n".join(lines)


def find_source(name: str) -> Source | None:
    """One file of the package, if it is there."""
    return next((s for s in sources() if s.name == name), None)


def find_fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """The fields of a value: name, type and the line of documentation below."""
    for item, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(item, ast.AnnAssign) or dotted(item.target).startswith("_"):
            continue
        said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        yield dotted(item.target), ast.unparse(item.annotation), " ".join(str(said).split())


def find_literal(node: ast.ClassDef, name: str) -> object:
    """The constant a class body gives to a name, if it does."""
    for item in node.body:
        if not isinstance(item, ast.AnnAssign | ast.Assign):
            continue
        target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
        if dotted(target) == name:
            return item.value.value if isinstance(item.value, ast.Constant) else None
    return None


def build_events() -> str:
    """Every kind of event with its fields."""
    source = find_source("events.py")
    text = f"# Events\n\n{NOTE}\nThe log of a run holds these kinds and no others.\n"
    for node in classes(source) if source else []:
        tags = [k.value.value for k in node.keywords if k.arg == "tag" and isinstance(k.value, ast.Constant)]
        fields = list(find_fields(node))
        if node.name != "Event" and not tags:
            continue
        text += f"\n## {f'`{tags[0]}`' if tags else 'Every event'}\n\n{clean(ast.get_docstring(node))}\n"
        if fields:
            rows = [f"| `{name}` | `{kind.replace('|', chr(92) + '|')}` | {said} |" for name, kind, said in fields]
            text += "\n| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    return text


def build_errors() -> str:
    """Every error with its code and whether the same call may succeed later."""
    source = find_source("errors.py")
    nodes = {n.name: n for n in classes(source)} if source else {}

    def inherit(name: str, field: str) -> object:
        node = nodes.get(name)
        if node is None:
            return None
        value = find_literal(node, field)
        return value if value is not None else inherit(dotted(node.bases[0]) if node.bases else "", field)

    text = f"# Errors\n\n{NOTE}\nAll derive from `QuorateError`: `code`, `retryable`, `message`, `context`.\n"
    text += "\n| error | code | retryable | meaning |\n|---|---|---|---|\n"
    for name, node in nodes.items():
        if name.startswith("_") or inherit(name, "code") is None:
            continue
        said = (ast.get_docstring(node) or "").split("\n\n")[0].split("\n")[0]
        again = "yes" if inherit(name, "retryable") else "no"
        text += f"| `{name}` | `{inherit(name, 'code')}` | {again} | {said} |\n"
    return text


def has_cli() -> bool:
    """Whether this tree has the command-line door."""
    return importlib.util.find_spec("quorate.cli") is not None


def has_server() -> bool:
    """Whether this tree has the HTTP server, and what it needs is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("quorate.server", "litestar"))


def load_cli() -> Any:
    """The command tree of the installed command."""
    import typer
    from typer.main import get_command

    package = importlib.import_module("quorate.cli")
    names = [m.name for m in pkgutil.iter_modules(getattr(package, "__path__", [])) if m.name != "__main__"]
    inner = [importlib.import_module(f"quorate.cli.{name}") for name in names]
    for module in (package, *inner):
        for name in ("app", "build_app"):
            found = getattr(module, name, None)
            app = found() if callable(found) and not isinstance(found, typer.Typer) else found
            if isinstance(app, typer.Typer):
                return get_command(app)
    raise LookupError("no typer application named `app` and no `build_app()` in `quorate.cli`")


def find_choices(parameter: Any) -> list[str]:
    """The values an option may have, whichever way this version of typer keeps them."""
    kept = getattr(getattr(parameter, "type", None), "choices", None)
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    found = kept or (annotation if isinstance(annotation, EnumType) else getattr(annotation, "__args__", ()))
    return [str(getattr(c, "value", c)) for c in found if isinstance(getattr(c, "value", c), str)]


def describe_parameter(parameter: Any) -> str:
    """One row of a table: how it is written, what it means, and what it is when left out."""
    options = ", ".join([*parameter.opts, *parameter.secondary_opts])
    written = options if parameter.param_type_name == "option" else (parameter.metavar or parameter.name.upper())
    choices = find_choices(parameter)
    said = " ".join((parameter.help or "").split()).replace("|", r"\|")
    if choices:
        said += " One of " + ", ".join(f"`{c}`" for c in choices) + "."
    given = getattr(parameter.default, "value", parameter.default)
    plain = isinstance(given, str | int | float) and not isinstance(given, bool) and given != ""
    default = f"`{given}`" if plain else "required" if parameter.required else ""
    return f"| `{written}` | {said.strip()} | {default} |"


def build_command(name: str, command: Any) -> str:
    """The section of one command, then those of its subcommands."""
    text = f"\n## `{name}`\n\n{clean(inspect.cleandoc(command.help or ''))}\n"
    shown = [p for p in command.params if p.name not in UNLISTED and not getattr(p, "hidden", False)]
    if shown:
        rows = "\n".join(describe_parameter(p) for p in shown)
        text += f"\n| argument or option | meaning | default |\n|---|---|---|\n{rows}\n"
    inner = getattr(command, "commands", {})
    return text + "".join(build_command(f"{name} {n}", c) for n, c in inner.items() if not c.hidden)


def build_cli() -> str:
    """Every command with its arguments and options."""
    return f"# Command line\n\n{NOTE}{build_command('quorate', load_cli())}"


def list_builders() -> dict[str, Callable[[], str]]:
    """Every generated page by its path, with what writes it."""
    pages: dict[str, Callable[[], str]] = {
        "docs/features.md": build_features,
        "docs/reference/api.md": build_api,
        "docs/reference/builtin-tools.md": lambda: build_tools_page(NOTE),
        "docs/reference/errors.md": build_errors,
        "docs/reference/events.md": build_events,
        "docs/reference/workflow-files.md": lambda: build_workflow_files(find_fields),
    }
    if has_server():
        pages["docs/reference/http.md"] = build_http
    return pages | ({"docs/reference/cli.md": build_cli} if has_cli() else {})


def main() -> int:
    """Write what is out of date, or with `--check` only name it."""
    stale = 0
    for name, build in list_builders().items():
        path, text = ROOT / name, build()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {name}")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
