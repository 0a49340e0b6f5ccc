"""Which tools let an agent review code?"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from quorate.tools.builtin.code.finding import Limits
from quorate.tools.builtin.code.review import Review, ReviewBounds, review_tree
from quorate.tools.define import Tool, tool
from quorate.tools.workspace import Workspace

__all__ = ["code_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A file or directory in the workspace, such as `src`.")]


def code_tools(workspace: Workspace) -> list[Tool[..., Any]]:
    """Build the tool that reviews the code in a workspace; it reads and parses, and never runs anything."""

    @tool(effect="idempotent", timeout_s=60)
    def review_code(
        path: Path = ".",
        *,
        max_complexity: Annotated[int, Meta(ge=1, le=100)] = 10,
        max_function_lines: Annotated[int, Meta(ge=5, le=2000)] = 80,
        max_findings: Annotated[int, Meta(ge=1, le=1000)] = 200,
    ) -> Review:
        """Find secrets, dangerous calls, injections, dropped errors and tangled functions, each with file and line.

        Args:
            max_complexity: Report functions with a greater cyclomatic complexity.
            max_function_lines: Report longer functions.
            max_findings: List so many, the worst first; all are counted.
        """
        return review_tree(
            workspace,
            path,
            limits=Limits(complexity=max_complexity, function_lines=max_function_lines),
            bounds=ReviewBounds(findings=max_findings),
        )

    return [review_code]
