"""Which tools let an agent see what lies on a machine's disks, who may use it, and how its kernel is set?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.system import accounts, archive, connections, kernel, permissions, space
from quorate.tools.define import AnyTool, tool
from quorate.tools.workspace import Workspace

__all__ = ["system_tools"]

Path = Annotated[str, Meta(max_length=4096, description="A directory in the workspace.")]
File = Annotated[str, Meta(min_length=1, max_length=4096, description="A file in the workspace.")]
Findings = Annotated[
    int, Meta(ge=1, le=1000, description="How many findings to list, the worst first; all are counted.")
]
Most = Annotated[int, Meta(ge=1, le=500, description="How many to list.")]


def system_tools(workspace: Workspace) -> list[AnyTool]:
    """Build the tools that look at files, accounts, connections and the kernel of this machine."""
    return [*_machine_tools(), *_file_tools(workspace)]


def _machine_tools() -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=10)
    def check_kernel(max_findings: Findings = 100) -> Checked:
        """Check this machine's kernel settings, the processor's known flaws, and the limits of this process."""
        return kernel.check_kernel(most=max_findings)

    @tool(effect="idempotent", timeout_s=10)
    def check_accounts(max_findings: Findings = 100) -> Checked:
        """Check the accounts and groups of this machine: second roots, empty passwords, shells, open homes."""
        return accounts.check_accounts(most=max_findings)

    @tool(effect="idempotent", timeout_s=10)
    def count_connections(most: Most = 10) -> connections.ConnectionReport:
        """Count this machine's TCP connections by state, remote address and port, to find leaks and floods."""
        return connections.count_connections(most=most)

    return [check_kernel, check_accounts, count_connections]


def _file_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_permissions(path: Path = ".", max_findings: Findings = 100) -> Checked:
        """Find files that everybody may change, programs with their owner's rights, and readable private keys."""
        return permissions.check_permissions(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=40)
    def find_large_files(path: Path = ".", most: Most = 20) -> space.LargeFiles:
        """Find what takes the space below a directory: the largest files, directories and kinds of files."""
        return space.find_large_files(workspace, path, most=most)

    @tool(effect="idempotent", timeout_s=40)
    def list_archive(path: File) -> archive.ArchiveListing:
        """List a zip or tar archive without unpacking it, and say what would be dangerous about unpacking."""
        return archive.list_archive(workspace, path)

    return [check_permissions, find_large_files, list_archive]
