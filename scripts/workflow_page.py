"""What does the reference page of workflow files say, from the values that such files are read into?"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

Fields = Callable[[ast.ClassDef], Iterator[tuple[str, str, str]]]
ROOT = Path(__file__).resolve().parents[1] / "src/quorate/orchestration"
WORKFLOW = [
    ("Workflow", "The file", '`kind` may be left out, or be `"workflow"`.'),
    ("Input", "`[inputs.NAME]`", ""),
    ("OwnAgent", "`[agents.NAME]`", "`limits` takes the keys of `Limits` in the [API reference](api.md#limits)."),
    ("Step", "`[[steps]]`", ""),
    ("Repeat", "`repeat`", ""),
    ("Undo", "`undo`", ""),
]
TABLES = "a table, see below"
WORDS = {
    "str": "text",
    "Name": "name",
    "StepId": "name",
    "int": "whole number",
    "Count": "whole number",
    "float": "number",
    "Seconds": "number",
    "bool": "true or false",
    "object": "anything",
    "Input": TABLES,
    "OwnAgent": TABLES,
    "Step": TABLES,
    "Repeat": TABLES,
    "Undo": TABLES,
    "TransferRule": TABLES,
    "StrictLimits": "limits",
    "InputType": "`string`, `integer`, `number`, `boolean`, `list`, `object`",
    "Pattern": "one of [these](#patterns)",
    "Mode": "a pattern",
    "Aggregation": "`first_success`, `majority`, `concat`, `merge`, `average`",
    "Strategy": "`first`, `best`, `round_robin`, `random`, `load`",
}
"""What types are called on the page."""
NOTE = "<!-- Written by `make docs`; edit the source instead. -->\n"
HEAD = """
Workflows and teams are files in TOML or YAML, in the directories that [`agents.workflows`](settings.md) names.
[Run workflows](../how-to/workflows.md) and [let agents work together](../how-to/teams.md) say how they are used.
An unknown key is refused; `quorate workflow check` names all faults with their places.

"""


def build_workflow_files(find_fields: Fields) -> str:
    """Every table of a workflow file and of a team's, with its keys."""
    spec, teams = _read("workflow/spec.py"), _read("teams/spec.py")
    text = f"# Workflow files\n\n{NOTE}{HEAD}{_clean(ast.get_docstring(spec))}\n"
    for name, title, more in WORKFLOW:
        text += _build_table(spec, name, title, more, find_fields=find_fields)
    text += _build_table(teams, "Team", "Teams", 'Such a file has `kind = "team"`.', find_fields=find_fields)
    text += _build_table(teams, "TransferRule", "`[[transfers]]`", "", find_fields=find_fields)
    from quorate.orchestration.teams.spec import NEEDS, PATTERNS, TAKES

    rows: list[str] = []
    for pattern in PATTERNS:
        needs = NEEDS.get(pattern, ())
        rows.append(f"| `{pattern}` | {_list(needs)} | {_list(sorted(TAKES[pattern] - {*needs}))} |")
    return text + "\n## Patterns\n\n| pattern | needs | takes |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _read(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def _build_table(module: ast.Module, name: str, title: str, more: str, *, find_fields: Fields) -> str:
    from quorate.orchestration.teams import spec as teams
    from quorate.orchestration.workflow import spec

    node = next(item for item in module.body if isinstance(item, ast.ClassDef) and item.name == name)
    struct = getattr(spec, name, None) or getattr(teams, name)
    needed = {field.name for field in msgspec.structs.fields(struct) if field.required}
    rows: list[str] = []
    for field, kind, said in find_fields(node):
        rows.append(f"| `{field}` | {'yes' if field in needed else 'no'} | {_say_type(kind)} | {said} |")
    about = _clean(ast.get_docstring(node)) + (f"\n{more}" if more else "")
    table = "\n".join(rows)
    return f"\n## {title}\n\n{about}\n\n| key | needed | type | meaning |\n|---|---|---|---|\n{table}\n"


def _say_type(kind: str) -> str:
    """A type in words: `tuple[Step, ...]` is a list of steps."""
    kind = re.sub(r"Annotated\[(\w+), Meta\([^)]*\)\]", r"\1", kind).removesuffix(" | None")
    if kind.startswith("Literal["):
        return ", ".join(f"`{word}`" for word in re.findall(r"'(\w+)'", kind))
    if found := re.fullmatch(r"tuple\[(\w+), \.\.\.\]", kind):
        return f"list of {_say_type(found[1])}"
    if found := re.fullmatch(r"dict\[\w+, (\w+)\]", kind):
        return f"table of {_say_type(found[1])}"
    return WORDS.get(kind, kind)


def _clean(text: str | None) -> str:
    """One sentence a line."""
    said = " ".join((text or "").split())
    return re.sub(r"(?<=[.!?]) (?=[A-Z`])", "\n", said)
