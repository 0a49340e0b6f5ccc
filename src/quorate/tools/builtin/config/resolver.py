"""What is wrong with the files by which a machine finds names: `resolv.conf` and `hosts`?"""

from __future__ import annotations

import ipaddress
import re

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.workspace import Workspace

_OPTIONS = re.compile(r"(?P<name>ndots|timeout|attempts):(?P<value>\d{1,5})")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
MAX_NAMESERVERS = 3
MAX_SEARCH = 6


def check_resolver(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every `resolv.conf` and `hosts` file.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("nameservers", "hosts", "search_domains")

    def is_wanted(name: str) -> bool:
        return name.rpartition("/")[2] in ("resolv.conf", "hosts")

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        if source.file.rpartition("/")[2].startswith("hosts"):
            _check_hosts(source, board)
        else:
            _check_resolv(source, board)
    return board.build(path, most=most)


def _check_resolv(source: Source, board: Board) -> None:
    servers: dict[str, int] = {}
    last = 1
    for number, line in enumerate(source.lines, 1):
        words = re.split(r"[#;]", line, maxsplit=1)[0].split()
        if not words:
            continue
        last = number
        keyword, values = words[0], words[1:]
        if keyword == "nameserver":
            _check_nameserver(source, number, values, servers, board)
        elif keyword in ("search", "domain"):
            board.count("search_domains", len(values))
            if len(values) > MAX_SEARCH:
                message = (
                    f"{len(values)} domains are searched; old resolvers stop after {MAX_SEARCH}, and each costs time"
                )
                board.find(source, number, "long-search", "low", message)
        elif keyword == "options":
            _check_options(source, number, line, board)
        elif keyword != "sortlist":
            board.find(
                source, number, "unknown-keyword", "medium", f"`{keyword}` is no keyword, and the line is ignored"
            )
    board.count("nameservers", len(servers))
    if not servers:
        board.find(
            source, last, "no-nameserver", "high", "no name server is given, so only this machine itself is asked"
        )
    elif len(servers) == 1 and not ipaddress.ip_address(next(iter(servers))).is_loopback:
        board.find(source, last, "one-nameserver", "low", "there is one name server; without it no name is found")
    elif len(servers) > MAX_NAMESERVERS:
        message = f"there are {len(servers)} name servers, and only the first {MAX_NAMESERVERS} are asked"
        board.find(source, last, "too-many-nameservers", "medium", message)


def _check_nameserver(source: Source, number: int, values: list[str], servers: dict[str, int], board: Board) -> None:
    text = values[0].partition("%")[0] if values else ""
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        board.find(source, number, "bad-address", "high", f"`{text[:60]}` is no address, and the line is ignored")
        return
    board.item(address)
    if address in servers:
        board.find(
            source, number, "double-nameserver", "medium", f"`{address}` stands at line {servers[address]} already"
        )
    servers.setdefault(address, number)


def _check_options(source: Source, number: int, line: str, board: Board) -> None:
    for match in _OPTIONS.finditer(line):
        name, value = match["name"], int(match["value"])
        if name == "ndots" and value > 4:
            message = f"with `ndots:{value}` most names are looked up in every search domain first"
            board.find(source, number, "many-dots", "low", message)
        elif name == "timeout" and value > 5:
            board.find(source, number, "long-timeout", "medium", f"a silent name server costs {value} s each time")
        elif name == "attempts" and value > 3:
            board.find(source, number, "many-attempts", "low", f"a silent name server is asked {value} times")


def _check_hosts(source: Source, board: Board) -> None:
    seen: dict[str, tuple[str, int]] = {}
    has_loopback = False
    for number, line in enumerate(source.lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            address = ipaddress.ip_address(words[0].partition("%")[0])
        except ValueError:
            board.find(
                source, number, "bad-address", "high", f"`{words[0][:60]}` is no address, and the line is ignored"
            )
            continue
        if len(words) == 1:
            board.find(source, number, "no-name", "medium", "an address without a name says nothing")
        for name in words[1:]:
            board.count("hosts")
            board.item(name)
            has_loopback = has_loopback or (name == "localhost" and address.is_loopback)
            if not _HOST.fullmatch(name):
                board.find(source, number, "bad-name", "medium", f"`{name[:60]}` is no host name")
            key = f"{name.lower()}/{address.version}"
            other = seen.get(key)
            if other is not None and other[0] != str(address):
                message = f"`{name}` is {other[0]} at line {other[1]} already, and the first one counts"
                board.find(source, number, "two-addresses", "medium", message)
            seen.setdefault(key, (str(address), number))
            if name == "localhost" and not address.is_loopback:
                board.find(source, number, "strange-localhost", "high", f"`localhost` is {address}, not this machine")
    if not has_loopback:
        board.find(source, 1, "no-localhost", "medium", "`localhost` has no address here")
