"""Which tools let an agent check a whole project: secrets, licences, dependencies, pages, translations, Python code?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.project import changelog, dependencies, licences, markdown, python, secrets, translations
from quorate.tools.define import AnyTool, tool
from quorate.tools.workspace import Workspace

__all__ = ["project_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A project's directory, or one file.")]
Most = Annotated[int, Meta(ge=1, le=1000, description="How many findings to list, the worst first; all are counted.")]


def project_tools(workspace: Workspace) -> list[AnyTool]:
    """Build the tools that check a project in a workspace; they read and parse, and never run anything."""
    return [*_right_tools(workspace), *_text_tools(workspace), *_python_tools(workspace)]


def _right_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=60)
    def scan_secrets(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Look through all text files for passwords, keys and tokens; what is found is never shown."""
        return secrets.scan_secrets(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def scan_licences(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Find a project's licences and hold them against what its manifests declare and its sources say."""
        return licences.scan_licences(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_dependencies(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check manifests and lock files of Python, npm, Go and Rust: pins, double versions, sources, hashes."""
        return dependencies.check_dependencies(workspace, path, most=max_findings)

    return [scan_secrets, scan_licences, check_dependencies]


def _text_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_changelog(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check a list of changes: the order of versions and dates, what is double, empty or left out."""
        return changelog.check_changelog(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_markdown(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check Markdown pages: links and anchors that lead nowhere, headings, images without text, open blocks."""
        return markdown.check_markdown(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_translations(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Compare the texts of a program's languages: missing, extra and empty ones, placeholders that differ."""
        return translations.check_translations(workspace, path, most=max_findings)

    return [check_changelog, check_markdown, check_translations]


def _python_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=60)
    def check_python_project(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Hold what a Python project declares against what it imports; find what does not parse, and missing tests."""
        return python.check_python_project(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=60)
    def measure_python_code(
        path: Path = ".", max_complexity: Annotated[int, Meta(ge=1, le=100)] = 10, *, max_findings: Most = 100
    ) -> Checked:
        """Measure Python functions: complexity, length, nesting, parameters; how much is documented and typed.

        Args:
            max_complexity: Report functions with a greater cyclomatic complexity.
        """
        return python.measure_python_code(workspace, path, most=max_findings, max_complexity=max_complexity)

    return [check_python_project, measure_python_code]
