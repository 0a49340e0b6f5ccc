"""Which tools let an agent check configuration files, each with file, line and what to write instead?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.config import (
    compose,
    cron,
    docker,
    envfile,
    kubernetes,
    nginx,
    openapi,
    plain,
    resolver,
    sshd,
    systemd,
    terraform,
    workflow,
)
from quorate.tools.define import AnyTool, tool
from quorate.tools.workspace import Workspace

__all__ = ["config_tools"]

Path = Annotated[
    str,
    Meta(
        max_length=4096, description="A file, read whatever its name, or a directory that is searched for such files."
    ),
]
Most = Annotated[int, Meta(ge=1, le=1000, description="How many findings to list, the worst first; all are counted.")]


def config_tools(workspace: Workspace) -> list[AnyTool]:
    """Build the tools that check configuration files in a workspace; they read, and never run anything."""
    return [
        *_container_tools(workspace),
        *_server_tools(workspace),
        *_machine_tools(workspace),
        *_data_tools(workspace),
    ]


def _container_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_dockerfiles(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check Dockerfiles: unpinned images, root, secrets in the image, what is downloaded unseen."""
        return docker.check_dockerfiles(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_compose(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check Compose files: rights over the host, open ports, secrets, missing limits and health checks."""
        return compose.check_compose(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_kubernetes(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check Kubernetes manifests: rights over node and cluster, limits, probes, images, removed versions."""
        return kubernetes.check_kubernetes(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_terraform(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check Terraform files: what is open to the world, unencrypted or unpinned, and secrets in them."""
        return terraform.check_terraform(workspace, path, most=max_findings)

    return [check_dockerfiles, check_compose, check_kubernetes, check_terraform]


def _server_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_nginx(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check configurations of nginx: old TLS, ways out of a directory, lost headers, hidden servers."""
        return nginx.check_nginx(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_sshd(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check configurations of the SSH server: who may log in how, weak algorithms, settings that do not count."""
        return sshd.check_sshd(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_workflows(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check GitHub Actions workflows: unpinned actions, strangers' text in commands, wide rights and secrets."""
        return workflow.check_workflows(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_openapi(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check OpenAPI documents: broken references, undeclared parameters, missing answers, names and security."""
        return openapi.check_openapi(workspace, path, most=max_findings)

    return [check_nginx, check_sshd, check_workflows, check_openapi]


def _machine_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_systemd_units(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check units of systemd: restarts, rights, limits, order, commands that cannot work, timers without a unit."""
        return systemd.check_systemd_units(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_cron(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check tables of cron jobs: faulty times, jobs that meet themselves, lost output, commands not found."""
        return cron.check_cron(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_resolver(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check `resolv.conf` and `hosts` files: name servers, search lists, addresses and names that collide."""
        return resolver.check_resolver(workspace, path, most=max_findings)

    return [check_systemd_units, check_cron, check_resolver]


def _data_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    def check_env_files(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check files of environment variables: double, missing, faulty names, and secrets; values stay hidden."""
        return envfile.check_env_files(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_yaml(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check YAML files: syntax, keys that come twice, tabs, and what unfolds without bounds."""
        return plain.check_yaml(workspace, path, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    def check_json(path: Path = ".", max_findings: Most = 100) -> Checked:
        """Check JSON files: syntax, keys that come twice, numbers and depths that other programs refuse."""
        return plain.check_json(workspace, path, most=max_findings)

    return [check_env_files, check_yaml, check_json]
