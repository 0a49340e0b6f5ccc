"""Which tools come with Quorate, and how is one of them built without loading all the others?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.tools.define import AnyTool
from quorate.tools.process import run_command
from quorate.tools.targets import ProbePolicy
from quorate.tools.workspace import Workspace


def find_no_trace() -> str | None:
    """Find none: nobody traces here."""
    return None


def find_no_url(name: str) -> str | None:
    """Find none: no database is named in the settings."""
    return None


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the tools may reach."""

    workspace: Workspace
    policy: ProbePolicy
    clock: Clock = SYSTEM_CLOCK
    trace: Callable[[], str | None] = find_no_trace
    """Gives the W3C `traceparent` that goes with requests, if there is one."""
    databases: tuple[str, ...] = ()
    """The databases and servers that may be looked at, by the names the settings give them."""
    find_url: Callable[[str], str | None] = find_no_url
    """Finds the address of one of them, with its password."""


class Toolset(Struct, frozen=True, kw_only=True):
    """Tools of one theme: what they are called, and how they are built once one of them is wanted."""

    name: str
    about: str
    """What they are for."""
    build: Callable[[Surroundings], Sequence[AnyTool]]
    tools: tuple[str, ...]
    extra: str = ""
    """The extra that some of them need."""


class ToolShelf(Mapping[str, AnyTool]):
    """Tools by name; a toolset is loaded when the first of its tools is taken from the shelf."""

    def __init__(self, surroundings: Surroundings, toolsets: Sequence[Toolset], more: Sequence[AnyTool] = ()) -> None:
        self._surroundings = surroundings
        self._places = {name: toolset for toolset in toolsets for name in toolset.tools}
        self._built = {tool.name: tool for tool in more}
        self._names = (*self._places, *(name for name in self._built if name not in self._places))
        # Tools are taken from threads too, and a toolset is built once.
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> AnyTool:
        found = self._built.get(name)
        if found is not None:
            return found
        toolset = self._places[name]
        with self._lock:
            if name not in self._built:
                self._built.update({tool.name: tool for tool in toolset.build(self._surroundings)})
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._built


def _net(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.net import net_tools

    return net_tools(given.policy, clock=given.clock, trace=given.trace)


def _host(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.host import host_tools

    return host_tools()


def _logs(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.logs import log_tools

    return log_tools(given.workspace)


def _files(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.files import file_tools

    return file_tools(given.workspace)


def _infra(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.infra import infra_tools

    return infra_tools(given.workspace)


def _code(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.code import code_tools

    return code_tools(given.workspace)


def _config(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.config import config_tools

    return config_tools(given.workspace)


def _project(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.project import project_tools

    return project_tools(given.workspace)


def _system(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.system import system_tools

    return system_tools(given.workspace)


def _git(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.git import git_tools

    return git_tools(given.workspace, run=run_command, clock=given.clock)


def _data(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.data import data_tools

    return data_tools(given.workspace)


def _databases(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.databases import database_tools

    return database_tools(given.databases, given.find_url)


def _web(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.web import web_tools

    return web_tools(given.policy, trace=given.trace)


def _reckon(given: Surroundings) -> Sequence[AnyTool]:
    from quorate.tools.builtin.reckon import reckon_tools

    return reckon_tools(given.workspace, clock=given.clock)


TOOLSETS: tuple[Toolset, ...] = (
    Toolset(
        name="net",
        about="Whether and how other machines answer.",
        build=_net,
        tools=(
            *("ping", "dns_lookup", "tcp_connect", "tls_certificate", "http_timing", "http_compare", "captive_portal"),
            *("traceroute", "network_routes", "route_to"),
        ),
        extra="ops",
    ),
    Toolset(
        name="host",
        about="How this machine is doing.",
        build=_host,
        tools=(
            *("cpu_usage", "pressure_stalls", "top_processes", "network_io", "memory_usage", "disk_usage"),
            *("open_files", "cgroup_limits", "temperatures", "uptime"),
        ),
        extra="ops",
    ),
    Toolset(
        name="logs",
        about="What logs and the journal tell.",
        build=_logs,
        tools=("analyze_log", "search_log", "analyze_journal", "analyze_access_log"),
    ),
    Toolset(
        name="files",
        about="What lies in the workspace; `write_file` is there where it is writable.",
        build=_files,
        tools=("list_files", "read_file", "search_files", "stat_file", "write_file"),
    ),
    Toolset(
        name="infra",
        about="Services, containers, ports, disks, time and certificates.",
        build=_infra,
        tools=(
            *("list_services", "list_containers", "time_sync", "list_ports", "list_processes", "check_disks"),
            "check_certificates",
        ),
        extra="ops",
    ),
    Toolset(name="code", about="What a reviewer would see in code.", build=_code, tools=("review_code",)),
    Toolset(
        name="config",
        about="What is wrong with configuration files.",
        build=_config,
        tools=(
            *("check_dockerfiles", "check_compose", "check_kubernetes", "check_terraform", "check_nginx", "check_sshd"),
            *("check_workflows", "check_openapi", "check_systemd_units", "check_cron", "check_resolver"),
            *("check_env_files", "check_yaml", "check_json"),
        ),
        extra="yaml",
    ),
    Toolset(
        name="project",
        about="What is wrong with a project: secrets, licences, dependencies, pages, translations, Python code.",
        build=_project,
        tools=(
            *("scan_secrets", "scan_licences", "check_dependencies", "check_changelog", "check_markdown"),
            *("check_translations", "check_python_project", "measure_python_code"),
        ),
        extra="yaml",
    ),
    Toolset(
        name="system",
        about="Files, accounts, connections and the kernel of this machine.",
        build=_system,
        tools=(
            *("check_kernel", "check_accounts", "count_connections", "check_permissions", "find_large_files"),
            "list_archive",
        ),
    ),
    Toolset(
        name="git",
        about="What is in a git repository; it needs the program `git`.",
        build=_git,
        tools=("git_log", "git_churn", "git_blame", "git_branches", "git_status", "git_large_blobs"),
    ),
    Toolset(
        name="data",
        about="What is in tables, JSON documents and SQLite files.",
        build=_data,
        tools=("profile_table", "compare_tables", "check_json_schema", "describe_sqlite", "query_sqlite"),
        extra="data",
    ),
    Toolset(
        name="databases",
        about="How the databases are doing that the setting `probe.databases` names.",
        build=_databases,
        tools=("postgres_health", "query_postgres", "redis_health"),
        extra="postgres",
    ),
    Toolset(
        name="web",
        about="How a web site looks from outside.",
        build=_web,
        tools=("check_http_headers", "check_http_caching", "check_redirects", "check_robots", "check_page"),
    ),
    Toolset(
        name="reckon",
        about="Numbers, times, versions, patterns and texts, reckoned instead of guessed.",
        build=_reckon,
        tools=(
            *("calculate", "summarize_numbers", "compare_versions", "next_runs", "count_days", "check_regex"),
            "measure_text",
        ),
        extra="schedules",
    ),
)
"""All toolsets there are; a test holds the names against the tools."""


def build_shelf(surroundings: Surroundings, more: Sequence[AnyTool] = ()) -> ToolShelf:
    """Put all toolsets on a shelf, and more tools beside them; nothing is loaded yet."""
    hidden = () if surroundings.workspace.writable else ("write_file",)
    toolsets = [structs.replace(one, tools=tuple(name for name in one.tools if name not in hidden)) for one in TOOLSETS]
    return ToolShelf(surroundings, toolsets, more)
