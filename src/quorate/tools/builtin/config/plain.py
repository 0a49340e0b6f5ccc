"""Is a file whole YAML or JSON, and does it say anything twice?"""

from __future__ import annotations

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.trees import Tree, read_json, read_yaml
from quorate.tools.workspace import Workspace


def check_yaml(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check the syntax of every YAML file, and that no key comes twice.

    Raises:
        MissingExtra: `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("documents", "values")
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith((".yaml", ".yml"))):
        board.item(source.file)
        try:
            documents = read_yaml(source.text)
        except ToolError as error:
            board.find(source, 1, "not-yaml", "high", error.message)
            continue
        board.count("documents", len(documents))
        for document in documents:
            for name, line in _find_doubles(document, board):
                message = f"the key `{name}` comes twice, and only one of them counts"
                board.find(source, line, "double-key", "high", message)
        for number, line in enumerate(source.lines, 1):
            if line[:1].isspace() and "\t" in line[: len(line) - len(line.lstrip())]:
                board.find(
                    source, number, "tab", "medium", "the line is indented with a tab, which YAML does not allow"
                )
    return board.build(path, most=most)


def check_json(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check the syntax of every JSON file, and that no key comes twice.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("documents", "values")
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith(".json")):
        board.item(source.file)
        if source.text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}"):
            board.find(source, 1, "two-marks", "medium", "there are two byte order marks")
        try:
            root = read_json(source.text)
        except ToolError as error:
            board.find(source, 1, "not-json", "high", error.message)
            continue
        board.count("documents")
        for name, line in _find_doubles(root, board):
            message = f"the key `{name}` comes twice, and only the last counts"
            board.find(source, line, "double-key", "high", message)
    return board.build(path, most=most)


def _find_doubles(document: Tree, board: Board) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for place, tree in document.walk():
        board.count("values")
        found.extend((f"{place}.{name}", line) for name, line in tree.duplicates)
    return found
