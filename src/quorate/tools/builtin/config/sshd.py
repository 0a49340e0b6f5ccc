"""What is wrong with the configuration of an SSH server?"""

from __future__ import annotations

import re

from msgspec import Struct

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Severity, Source
from quorate.tools.workspace import Workspace


class Advice(Struct, frozen=True, kw_only=True):
    """What a keyword should not be set to."""

    bad: str
    """A pattern for the value."""
    severity: Severity
    rule: str
    message: str


def _advise(bad: str, severity: Severity, rule: str, message: str) -> Advice:
    return Advice(bad=bad, severity=severity, rule=rule, message=message)


_ADVICE = {
    "permitrootlogin": _advise("yes", "high", "root-login", "root may log in; `no`, or `prohibit-password`"),
    "passwordauthentication": _advise("yes", "medium", "passwords", "passwords can be guessed; use keys alone"),
    "permitemptypasswords": _advise("yes", "critical", "empty-passwords", "accounts without a password are open"),
    "x11forwarding": _advise("yes", "low", "x11", "a server seldom needs X11"),
    "allowtcpforwarding": _advise("yes|all", "low", "forwarding", "whoever logs in reaches the networks behind"),
    "allowagentforwarding": _advise("yes", "low", "agent", "root here may use the keys of whoever logs in"),
    "permituserenvironment": _advise("yes|.*\\*.*", "medium", "user-environment", "users choose what programs load"),
    "hostbasedauthentication": _advise("yes", "high", "host-based", "another machine's word is taken for a login"),
    "ignorerhosts": _advise("no", "high", "rhosts", "`.rhosts` files are believed"),
    "strictmodes": _advise("no", "high", "no-strict-modes", "keys that others may change are believed"),
    "usedns": _advise("yes", "low", "dns", "each login waits for the DNS"),
    "protocol": _advise(".*1.*", "critical", "protocol-1", "the first protocol is broken"),
    "loglevel": _advise("quiet|fatal", "medium", "no-log", "failed logins leave no trace"),
    "permittunnel": _advise("yes|point-to-point|ethernet", "medium", "tunnel", "whoever logs in may build a tunnel"),
    "gatewayports": _advise("yes", "medium", "gateway-ports", "forwarded ports listen on every network"),
    "usepam": _advise("no", "low", "no-pam", "limits and account rules of PAM do not hold"),
}
_WEAK = {
    "ciphers": re.compile(r"(?:3des|arcfour|blowfish|cast128|des-|-cbc)"),
    "macs": re.compile(r"(?:md5|hmac-sha1(?!-etm)|umac-64|ripemd)"),
    "kexalgorithms": re.compile(r"(?:group1-sha1|group14-sha1|group-exchange-sha1)"),
    "hostkeyalgorithms": re.compile(r"(?:ssh-dss|ssh-rsa(?!-cert))"),
    "pubkeyacceptedalgorithms": re.compile(r"(?:ssh-dss|ssh-rsa(?!-cert))"),
}
_LARGEST = {"maxauthtries": 6, "logingracetime": 120, "maxsessions": 20}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def check_sshd(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every `sshd_config` and what lies in `sshd_config.d`.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("directives", "match_blocks")

    def is_wanted(name: str) -> bool:
        return name.rpartition("/")[2].startswith("sshd_config") or "sshd_config.d/" in name

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        _check(source, board)
    return board.build(path, most=most)


def _check(source: Source, board: Board) -> None:
    seen: dict[str, int] = {}
    inside_match = False
    for number, line in enumerate(source.lines, 1):
        bare = line.partition(" #")[0].strip()
        if not bare or bare.startswith("#"):
            continue
        words = re.split(r"\s*=\s*|\s+", bare, maxsplit=1)
        keyword, value = words[0].lower(), (words[1] if len(words) > 1 else "").strip('" ')
        board.count("directives")
        board.item(words[0])
        if keyword == "match":
            inside_match = True
            board.count("match_blocks")
            continue
        if not value:
            board.find(source, number, "no-value", "high", f"`{words[0]}` has no value, so the server does not start")
            continue
        if (
            keyword in seen
            and not inside_match
            and keyword not in ("port", "listenaddress", "hostkey", "acceptenv", "include")
        ):
            message = f"`{words[0]}` is set at line {seen[keyword]} already, and the first one counts"
            board.find(source, number, "set-twice", "medium", message)
        if not inside_match:
            seen.setdefault(keyword, number)
        _check_value(source, number, keyword, value, board)
    if source.file.endswith("sshd_config") and "permitrootlogin" not in seen:
        board.find(source, 1, "root-by-key", "low", "`PermitRootLogin` is not set; root may log in with a key")
    if source.file.endswith("sshd_config") and "passwordauthentication" not in seen:
        board.find(source, 1, "passwords", "medium", "`PasswordAuthentication` is not set, and so it is `yes`")
    if not any(one in seen for one in ("allowusers", "allowgroups", "denyusers", "denygroups")):
        board.find(
            source, 1, "everybody", "low", "every account of the machine may log in; name them with `AllowGroups`"
        )


def _check_value(source: Source, number: int, keyword: str, value: str, board: Board) -> None:
    advice = _ADVICE.get(keyword)
    if advice is not None and re.fullmatch(advice.bad, value[:200].lower()):
        board.find(source, number, advice.rule, advice.severity, advice.message)
    weak = _WEAK.get(keyword)
    if weak is not None and not value.startswith("-") and (match := weak.search(value.lower())) is not None:
        board.find(source, number, "weak-algorithm", "high", f"`{match[0]}` is broken or weak; take it out")
    largest = _LARGEST.get(keyword)
    seconds = _read_seconds(value)
    if largest is not None and seconds is not None and (seconds > largest or seconds == 0):
        board.find(source, number, "too-patient", "low", f"`{value}` is more than {largest}")
    if keyword == "clientaliveinterval" and seconds == 0:
        board.find(source, number, "no-idle-end", "low", "sessions of clients that are gone stay open")


def _read_seconds(value: str) -> int | None:
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", value.lower())
    return int(match[1]) * _SECONDS[match[2]] if match else None
