"""What is wrong with a configuration of nginx?"""

from __future__ import annotations

import os
import re

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.config.blocks import Block, read_nginx
from quorate.tools.workspace import Workspace

_OLD_PROTOCOLS = frozenset(("SSLv2", "SSLv3", "TLSv1", "TLSv1.1"))
_WEAK_CIPHERS = re.compile(r"(?:^|:)(?:[A-Z0-9-]*(?:RC4|DES|MD5|NULL|EXP|aNULL)[A-Z0-9-]*)(?=:|$)")
_PLACES = ("sites-enabled", "sites-available", "conf.d", "nginx")
_SAFE_IN_IF = frozenset(("return", "rewrite", "set", "break", "access_log"))


def is_nginx(path: str) -> bool:
    """Tell whether a name is one of a configuration of nginx."""
    *places, name = path.split("/")
    if name in ("nginx.conf", "nginx.conf.template") or name.endswith((".nginx", ".nginx.conf")):
        return True
    if places and places[-1] in ("sites-enabled", "sites-available"):
        return os.path.splitext(name)[1] in ("", ".conf")
    return bool(places) and places[-1] in _PLACES and name.endswith(".conf")


def check_nginx(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every configuration of nginx; included files are read when they lie below the path as well.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("servers", "locations", "upstreams")
    for source in read_sources(workspace, path, board, wanted=is_nginx):
        try:
            root = read_nginx(source.text)
        except ToolError as error:
            board.find(source, 1, "not-nginx", "high", error.message)
            continue
        _check_tree(source, root, board)
    return board.build(path, most=most)


def _check_tree(source: Source, root: Block, board: Board) -> None:
    upstreams = {one.value for one in root.walk() if one.name == "upstream"}
    board.count("upstreams", len(upstreams))
    seen: dict[tuple[str, str], int] = {}
    for block in root.walk():
        if block.name == "server" and block.children:
            _check_server(source, block, board, seen)
        elif block.name == "location":
            board.count("locations")
            _check_location(source, block, board)
        elif block.name == "if":
            for inner in block.children:
                if inner.name not in _SAFE_IN_IF:
                    message = f"`{inner.name}` inside `if` does not do what it says; use `map` or a location"
                    board.find(source, inner.line, "if-is-evil", "medium", message)
        _check_directive(source, block, board)
        _check_headers(source, block, board)


def _check_directive(source: Source, one: Block, board: Board) -> None:
    words = set(one.words[1:])
    if one.name == "ssl_protocols" and words & _OLD_PROTOCOLS:
        old = ", ".join(sorted(words & _OLD_PROTOCOLS))
        board.find(source, one.line, "old-tls", "high", f"{old} is broken; leave TLSv1.2 and TLSv1.3")
    elif one.name == "ssl_ciphers" and _WEAK_CIPHERS.search(one.value):
        board.find(source, one.line, "weak-ciphers", "high", "a broken cipher is offered")
    elif one.name == "server_tokens" and one.value == "on":
        board.find(source, one.line, "version-shown", "low", "the version is told to everybody; `server_tokens off`")
    elif one.name == "autoindex" and one.value == "on":
        board.find(source, one.line, "directory-listing", "medium", "everybody may list this directory")
    elif one.name == "user" and one.words[1:2] == ["root"]:
        board.find(source, one.line, "runs-as-root", "high", "the workers run as root")
    elif one.name in ("proxy_ssl_verify",) and one.value == "off":
        board.find(source, one.line, "tls-unverified", "medium", "any certificate of the server behind is accepted")
    elif one.name == "client_max_body_size" and one.value == "0":
        board.find(source, one.line, "no-body-limit", "medium", "a body of any size is accepted")
    elif one.name == "access_log" and one.value == "off":
        board.find(source, one.line, "no-access-log", "low", "what is asked here leaves no trace")
    elif one.name == "add_header" and one.words[1:2] == ["Access-Control-Allow-Origin"] and "*" in words:
        board.find(source, one.line, "open-cors", "medium", "pages of every origin may read the answers")
    elif one.name == "return" and "$uri" in one.value and one.words[1:2] and one.words[1].startswith("3"):
        message = "`$uri` is decoded, so a line break in it becomes a header; use `$request_uri`"
        board.find(source, one.line, "header-injection", "high", message)


def _check_server(source: Source, block: Block, board: Board, seen: dict[tuple[str, str], int]) -> None:
    board.count("servers")
    names = block.setting("server_name")
    listens = [one.value for one in block.all("listen")]
    board.item(names or "_")
    for name in names.split() or [""]:
        for listen in listens or ["80"]:
            key = (name, listen.split(" ")[0])
            if key in seen:
                message = (
                    f"`{name or 'the default'}` on {key[1]} is served at line {seen[key]} already; this is ignored"
                )
                board.find(source, block.line, "double-server", "high", message)
            seen.setdefault(key, block.line)
    has_tls = any("ssl" in listen.split() for listen in listens)
    inner = list(block.walk())
    if has_tls:
        if not block.setting("ssl_certificate") and "ssl_reject_handshake" not in {one.name for one in inner}:
            board.find(source, block.line, "no-certificate", "high", "it listens with `ssl` and names no certificate")
        if not any(one.name == "add_header" and one.words[1:2] == ["Strict-Transport-Security"] for one in inner):
            message = "browsers are not told to stay with https; add `Strict-Transport-Security`"
            board.find(source, block.line, "no-hsts", "low", message)
    elif any(one.name in ("proxy_pass", "root", "fastcgi_pass") for one in inner):
        message = "what is served here can be read on the way; redirect to https"
        board.find(source, block.line, "plain-http", "medium", message)


def _check_location(source: Source, block: Block, board: Board) -> None:
    place = block.words[-1] if block.words else ""
    alias = block.setting("alias")
    is_prefix = len(block.words) == 2
    if alias and is_prefix and not place.endswith("/") and alias.endswith("/"):
        message = f"`{place}../` reaches the directory above `{alias}`; end the location with `/`"
        board.find(source, block.line, "alias-traversal", "critical", message)
    target = block.first("proxy_pass")
    if target is None:
        return
    if target.value.startswith("http://") and re.search(r"\$(?:arg_|http_|uri|request_uri|host)", target.value):
        message = "the visitor chooses which server is asked"
        board.find(source, target.line, "open-proxy", "high", message)
    headers = {one.words[1] for one in block.all("proxy_set_header") if len(one.words) > 1}
    if headers and "Host" not in headers:
        board.find(
            source, block.line, "no-host-header", "low", "the server behind does not learn which host was asked for"
        )


def _check_headers(source: Source, block: Block, board: Board) -> None:
    # A block with a header of its own inherits none of those around it.
    own = block.all("add_header")
    if not own or block.name not in ("server", "http"):
        return
    for inner in block.walk():
        if inner.name == "location" and inner.all("add_header"):
            lost = {one.words[1] for one in own if len(one.words) > 1}
            lost -= {one.words[1] for one in inner.all("add_header") if len(one.words) > 1}
            if lost:
                message = f"with a header of its own this location loses {', '.join(sorted(lost))[:150]}"
                board.find(source, inner.line, "lost-headers", "medium", message)
