"""What is wrong with a Compose file?"""

from __future__ import annotations

import os
import re

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.trees import Tree, read_yaml
from quorate.tools.workspace import Workspace

_NAME = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]{1,60})?\.ya?ml")
_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|api_?key|private_?key)")
_DANGEROUS = ("SYS_ADMIN", "ALL", "NET_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH")
_SENSITIVE = ("/", "/etc", "/root", "/proc", "/sys", "/boot", "/var/run", "/run", "/dev")


def is_compose(path: str) -> bool:
    """Tell whether a name is one of a Compose file."""
    return _NAME.fullmatch(os.path.basename(path).lower()) is not None


def check_compose(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every Compose file.

    Raises:
        MissingExtra: `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("services", "published_ports")
    for source in read_sources(workspace, path, board, wanted=is_compose):
        try:
            documents = read_yaml(source.text)
        except ToolError as error:
            board.find(source, 1, "not-yaml", "high", error.message)
            continue
        for document in documents:
            _check_file(source, document, board)
    return board.build(path, most=most)


def _check_file(source: Source, document: Tree, board: Board) -> None:
    services = document.at("services")
    if not services.fields:
        board.find(source, 1, "no-services", "medium", "no `services` are declared")
    if "version" in document:
        message = "`version` means nothing any more; take it out"
        board.find(source, document.at("version").line, "obsolete-version", "low", message)
    for name, service in services.fields.items():
        board.item(name)
        board.count("services")
        _check_service(source, name, service, board)
        for other in _names(service.at("depends_on")):
            if other not in services.fields:
                message = f"`{name}` depends on `{other}`, and there is no such service"
                board.find(source, service.at("depends_on").line, "unknown-service", "high", message)
    for other, secret in document.at("secrets").fields.items():
        if "file" in secret and secret.at("file").text.endswith(".env"):
            message = f"the secret `{other}` comes from a file of settings"
            board.find(source, secret.line, "secret-from-env", "low", message)


def _check_service(source: Source, name: str, service: Tree, board: Board) -> None:
    if service.at("privileged").is_true:
        message = f"`{name}` has all rights of the host; give the one capability it needs"
        board.find(source, service.at("privileged").line, "privileged", "critical", message)
    for key in ("network_mode", "pid", "ipc", "userns_mode"):
        if service.at(key).text == "host":
            message = f"`{name}` shares the host's `{key}`; nothing keeps it apart there"
            board.find(source, service.at(key).line, "host-namespace", "high", message)
    for one in service.at("cap_add").items:
        if one.text.upper().removeprefix("CAP_") in _DANGEROUS:
            message = f"`{one.text}` is nearly as much as all rights"
            board.find(source, one.line, "dangerous-capability", "high", message)
    _check_image(source, name, service, board)
    _check_volumes(source, name, service, board)
    _check_ports(source, name, service, board)
    _check_environment(source, name, service, board)
    if "restart" not in service and "restart_policy" not in service.at("deploy"):
        board.find(source, service.line, "no-restart", "low", f"`{name}` stays down when it falls; set `restart`")
    if "healthcheck" not in service:
        message = f"nothing tells whether `{name}` works; add a `healthcheck`"
        board.find(source, service.line, "no-healthcheck", "low", message)
    if "mem_limit" not in service and "memory" not in service.at("deploy", "resources", "limits"):
        message = f"nothing bounds the memory of `{name}`; set `deploy.resources.limits.memory`"
        board.find(source, service.line, "no-memory-limit", "low", message)


def _check_image(source: Source, name: str, service: Tree, board: Board) -> None:
    image = service.at("image").text
    if not image:
        if "build" not in service and "extends" not in service:
            board.find(source, service.line, "no-image", "high", f"`{name}` has neither `image` nor `build`")
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and "$" not in image and tag in ("", "latest") and "build" not in service:
        message = f"`{image}` can be another image tomorrow; name a version, or better a digest"
        board.find(source, service.at("image").line, "unpinned-image", "medium", message)


def _check_volumes(source: Source, name: str, service: Tree, board: Board) -> None:
    for one in service.at("volumes").items:
        place = one.at("source").text or one.text.partition(":")[0]
        if place.endswith("docker.sock"):
            message = f"`{name}` may command the container engine, and so the host"
            board.find(source, one.line, "docker-socket", "critical", message)
        elif place.rstrip("/") in _SENSITIVE or place == "/":
            message = f"`{name}` sees `{place}` of the host; mount the one directory it needs"
            board.find(source, one.line, "sensitive-mount", "high", message)


def _check_ports(source: Source, name: str, service: Tree, board: Board) -> None:
    for one in service.at("ports").items:
        board.count("published_ports")
        parts = one.text.split(":")
        is_open = "host_ip" not in one if one.fields else len(parts) < 3
        target = one.at("target").text or parts[-1].partition("/")[0]
        if is_open and target in ("5432", "3306", "6379", "27017", "9200", "2375", "11211", "5672"):
            message = f"`{name}` gives port {target} to every network of the host; bind it to 127.0.0.1"
            board.find(source, one.line, "open-port", "high", message)


def _check_environment(source: Source, name: str, service: Tree, board: Board) -> None:
    environment = service.at("environment")
    pairs = [(key, value.text, value.line) for key, value in environment.fields.items()]
    pairs += [(one.text.partition("=")[0], one.text.partition("=")[2], one.line) for one in environment.items]
    for key, value, line in pairs:
        if _SECRET_NAME.search(key) and value and "$" not in value and not key.upper().endswith("_FILE"):
            message = f"the value of `{key}` of `{name}` stands in the file; use `secrets` or a variable"
            board.note(source.file, line, "secret-in-file", "high", message, evidence=f"{key}=***")


def _names(tree: Tree) -> list[str]:
    return [*tree.fields, *(one.text for one in tree.items)]
