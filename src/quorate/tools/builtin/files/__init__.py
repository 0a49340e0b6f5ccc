"""Which tools let an agent look at, search and write the files of a workspace?"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from quorate.tools.builtin.files.pattern import PatternKind
from quorate.tools.builtin.files.text import Encoding, FileText, Matches, read_text, search_text
from quorate.tools.builtin.files.walk import Listing, list_entries
from quorate.tools.define import Tool, tool
from quorate.tools.workspace import Entry, Workspace

__all__ = ["file_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A path in the workspace, such as `logs/app.log`.")]
Pattern = Annotated[str, Meta(min_length=1, max_length=500, description="What to look for.")]
Glob = Annotated[str, Meta(min_length=1, max_length=500, description="A glob such as `*.py` or `src/**/*.py`.")]
Count = Annotated[int, Meta(ge=1, le=2000)]


def file_tools(workspace: Workspace) -> list[Tool[..., Any]]:
    """Build the tools over one workspace; `write_file` is among them only where it is writable."""
    tools = _reading_tools(workspace)
    return [*tools, _write_tool(workspace)] if workspace.writable else tools


def _reading_tools(workspace: Workspace) -> list[Tool[..., Any]]:
    @tool(effect="idempotent", timeout_s=15)
    def list_files(
        path: Path = ".", pattern: Glob = "*", *, recursive: bool = False, max_entries: Count = 200
    ) -> Listing:
        """List the files and directories whose names match."""
        return list_entries(workspace, path, pattern=pattern, recursive=recursive, max_entries=max_entries)

    @tool(effect="idempotent", timeout_s=15)
    def read_file(
        path: Path,
        *,
        first_line: Annotated[int, Meta(ge=1)] = 1,
        max_lines: Count = 200,
        encoding: Encoding = "utf-8",
    ) -> FileText:
        """Read a range of lines from a text file."""
        return read_text(workspace, path, first_line=first_line, max_lines=max_lines, encoding=encoding)

    @tool(effect="idempotent", timeout_s=15)
    def search_files(
        pattern: Pattern,
        path: Path = ".",
        *,
        kind: PatternKind = "text",
        glob: Glob = "*",
        ignore_case: bool = False,
        max_matches: Count = 100,
    ) -> Matches:
        """Search text files for lines that match.

        Args:
            kind: `text` as it is written, `words` in that order with `*` between them, or `regex` without look-around.
            glob: Which files to search.
        """
        return search_text(
            workspace,
            pattern,
            path=path,
            kind=kind,
            glob=glob,
            ignore_case=ignore_case,
            max_matches=max_matches,
        )

    @tool(effect="idempotent", timeout_s=5)
    def stat_file(path: Path) -> Entry:
        """Tell what a path stands for: kind, size, permissions and time of the last change."""
        return workspace.stat(path)

    return [list_files, read_file, search_files, stat_file]


def _write_tool(workspace: Workspace) -> Tool[..., Any]:
    # The same content at the same place twice is the same as once, so a crash may repeat it.
    @tool(effect="idempotent", timeout_s=15)
    def write_file(path: Path, content: Annotated[str, Meta(max_length=1_000_000)], *, overwrite: bool = True) -> Entry:
        """Put text in place of a file in one step; its directory must exist."""
        return workspace.write(path, content.encode(), overwrite=overwrite)

    return write_file
