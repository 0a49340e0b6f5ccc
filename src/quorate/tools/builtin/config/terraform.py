"""What is wrong with the files of a Terraform or OpenTofu configuration?"""

from __future__ import annotations

import re

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.config.blocks import Block, read_hcl
from quorate.tools.workspace import Workspace

_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|api_?key|private_?key)")
_ADMIN_PORTS = ("22", "3389", "5432", "3306", "6379", "27017", "9200", "0")
_UNENCRYPTED = {
    "aws_ebs_volume": "encrypted",
    "aws_db_instance": "storage_encrypted",
    "aws_rds_cluster": "storage_encrypted",
    "aws_efs_file_system": "encrypted",
    "aws_redshift_cluster": "encrypted",
}


def check_terraform(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every `.tf` file.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("resources", "modules", "variables", "outputs", "providers")
    needs: dict[str, tuple[Source, int]] = {}
    pinned: set[str] = set()
    has_version = False
    first: Source | None = None
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith(".tf")):
        first = first or source
        try:
            root = read_hcl(source.text)
        except ToolError as error:
            board.find(source, 1, "not-hcl", "high", error.message)
            continue
        for block in root.children:
            _check_block(source, block, board, needs)
            if block.name == "terraform":
                has_version = has_version or bool(block.setting("required_version"))
                pinned |= _check_required(source, block, board)
    for provider, (source, line) in needs.items():
        if provider not in pinned:
            message = f"the provider `{provider}` has no version in `required_providers`"
            board.find(source, line, "unpinned-provider", "medium", message)
    if first is not None and board.items and not has_version:
        message = "no `required_version`: another version of Terraform may plan something else"
        board.find(first, 1, "no-required-version", "low", message)
    return board.build(path, most=most)


def _check_block(source: Source, block: Block, board: Board, needs: dict[str, tuple[Source, int]]) -> None:
    labels = block.words[1:]
    if block.name in ("resource", "data") and len(labels) >= 2:
        board.item(".".join(labels[:2]))
        board.count("resources", int(block.name == "resource"))
        needs.setdefault(labels[0].partition("_")[0], (source, block.line))
        _check_resource(source, labels[0], ".".join(labels[:2]), block, board)
    elif block.name == "module":
        board.count("modules")
        _check_module(source, block, board)
    elif block.name == "variable":
        board.count("variables")
        _check_variable(source, " ".join(labels), block, board)
    elif block.name == "output":
        board.count("outputs")
        if _SECRET_NAME.search(" ".join(labels)) and block.setting("sensitive") != "true":
            message = f"the output `{' '.join(labels)}` is shown; set `sensitive = true`"
            board.find(source, block.line, "shown-secret", "medium", message)
    elif block.name == "provider":
        board.count("providers")
        for one in block.walk():
            if one.name in ("access_key", "secret_key", "token", "password", "client_secret"):
                _check_literal(source, one, board)


def _check_required(source: Source, block: Block, board: Board) -> set[str]:
    pinned: set[str] = set()
    for inner in block.all("required_providers"):
        for one in inner.children:
            if "version" in one.words:
                pinned.add(one.name)
    for backend in block.all("backend"):
        if backend.value == "local":
            board.find(source, backend.line, "local-state", "medium", "the state stays on one machine, without a lock")
        if backend.value == "s3" and backend.setting("encrypt") != "true":
            board.find(source, backend.line, "open-state", "medium", "the state holds secrets; set `encrypt = true`")
    return pinned


def _check_resource(source: Source, kind: str, name: str, block: Block, board: Board) -> None:
    encrypted = _UNENCRYPTED.get(kind)
    if encrypted and block.setting(encrypted) != "true":
        board.find(source, block.line, "not-encrypted", "high", f"`{name}` is not encrypted; set `{encrypted} = true`")
    for one in block.walk():
        if one.name == "acl" and one.value.startswith("public-read"):
            board.find(source, one.line, "public-storage", "critical", f"`{name}` can be read by everybody")
        elif one.name == "publicly_accessible" and one.value == "true":
            board.find(source, one.line, "public-database", "high", f"`{name}` is reached from the internet")
        elif one.name in ("block_public_acls", "block_public_policy") and one.value == "false":
            board.find(source, one.line, "public-storage", "high", f"`{name}` allows that it is made public")
        elif one.name == "force_destroy" and one.value == "true":
            board.find(source, one.line, "force-destroy", "low", f"`{name}` goes with all that it holds")
        elif one.name == "skip_final_snapshot" and one.value == "true":
            board.find(source, one.line, "no-final-snapshot", "low", f"`{name}` leaves no copy when it goes")
        elif _SECRET_NAME.search(one.name) and not one.children:
            _check_literal(source, one, board)
    for ingress in (block, *block.all("ingress"), *block.all("ingress_rules")):
        _check_ingress(source, kind, name, ingress, board)
    if kind.endswith(("iam_policy", "iam_role_policy")):
        text = " ".join(word for one in (block, *block.walk()) for word in one.words)
        if re.search(r"Action\W{1,6}(?:\[\s?)?\*|Action \* ", text):
            board.find(source, block.line, "wildcard-rights", "high", f"`{name}` allows every action")


def _check_ingress(source: Source, kind: str, name: str, block: Block, board: Board) -> None:
    is_rule = block.name == "ingress" or (kind.endswith("security_group_rule") and block.setting("type") == "ingress")
    is_rule = is_rule or kind.endswith("security_group_ingress_rule")
    spans = " ".join(block.setting(key) for key in ("cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6"))
    if not is_rule or not ("0.0.0.0/0" in spans or "::/0" in spans):
        return
    port = block.setting("from_port")
    is_wide = port in _ADMIN_PORTS or block.setting("protocol") == "-1"
    message = f"`{name}` lets the whole internet reach port {port or 'any'}"
    board.find(source, block.line, "open-to-world", "high" if is_wide else "low", message)


def _check_module(source: Source, block: Block, board: Board) -> None:
    place = block.setting("source")
    board.item(f"module.{block.value}")
    if place.startswith((".", "/")) or not place:
        return
    is_repository = place.startswith(("git::", "git@", "github.com", "hg::", "http"))
    if is_repository and "ref=" not in place:
        board.find(source, block.line, "unpinned-module", "high", f"the module `{block.value}` has no `?ref=`")
    elif not is_repository and not block.setting("version"):
        board.find(source, block.line, "unpinned-module", "medium", f"the module `{block.value}` has no `version`")


def _check_variable(source: Source, name: str, block: Block, board: Board) -> None:
    if not block.setting("type"):
        board.find(source, block.line, "untyped-variable", "low", f"the variable `{name}` has no `type`")
    if not _SECRET_NAME.search(name):
        return
    if block.setting("sensitive") != "true":
        message = f"the variable `{name}` is shown in plans; set `sensitive = true`"
        board.find(source, block.line, "shown-secret", "medium", message)
    default = block.first("default")
    if default is not None and default.value not in ("", "null"):
        message = f"the default of `{name}` stands in the file"
        board.note(source.file, default.line, "secret-in-file", "high", message, evidence="default = ***")


def _check_literal(source: Source, one: Block, board: Board) -> None:
    value = one.value
    is_reference = "${" in value or re.match(r"(?:var|local|data|module|random_\w+|aws_\w+)\.", value) is not None
    raw = source.lines[one.line - 1] if one.line <= len(source.lines) else ""
    if value and '"' in raw and not is_reference and len(value) >= 4:
        message = f"the value of `{one.name}` stands in the file; use a variable or a secret store"
        board.note(source.file, one.line, "secret-in-file", "critical", message, evidence=f"{one.name} = ***")
