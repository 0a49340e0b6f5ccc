"""What does a request name: URLs, hosts, ports, paths, services, times?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from quorate.models.playbook.define import Kind, Target

MAX_CHARACTERS = 20_000
"""How much of a text is looked at."""

_URL = re.compile(r"https?://[^\s<>\"'`|\\^{}]{1,2000}", re.IGNORECASE)
_ENDPOINT = re.compile(
    r"(?<![\w.:/@\[-])(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?):(\d{1,5})(?![\w:]|\.\d|/\d)"
)
_PORT = re.compile(r"\b(?:tcp|udp)[/ ]?(\d{1,5})\b|(?<![\w:\]]):(\d{1,5})\b")
_PORTS = re.compile(r"\bports?\b[\s:=#]{0,3}((?:\d{1,5}(?:\s*(?:,|and|or|&|/)\s*|\s+))*\d{1,5})\b", re.IGNORECASE)
_IP_FOUR = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IP_SIX = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?![\w:])")
_HOST = re.compile(
    r"(?<![\w.@/-])(?:localhost|(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![\w/-])"
)
_NAMED_HOST = re.compile(
    r"\b(?:host|hostname|domain|machine|ping|resolve|traceroute to|dns (?:for|of))\s+[`'\"]?"
    r"([A-Za-z][A-Za-z0-9-]{1,62})\b",
    re.IGNORECASE,
)
_QUOTED_PATH = re.compile(r"[\"'`]((?:~?/|\.{1,2}/)[^\"'`\n]{1,400})[\"'`]")
_PATH = re.compile(
    r"(?<![\w/.:~-])(?:~?/|\.{1,2}/)[\w.@%+,=:~/-]{0,400}"
    r"|(?<![\w/.:~@-])(?:[\w-][\w.-]{0,100}/){1,20}(?:[\w-][\w.-]{0,100}\.[A-Za-z]\w{0,7})?(?![\w/])"
    r"|(?<![\w/.:~@-])[\w-][\w.-]{0,100}\.[A-Za-z]\w{0,7}(?:\.gz)?(?![\w/-])"
)
_NAMED_PATH = re.compile(
    r"\b(?:in|under|of|review|scan|inspect|check|read|audit)\s+[`'\"]?([\w.-]{1,100}(?:/[\w.-]{1,100}){1,20})(?![\w/])"
    r"|\b(?:directory|folder|package|module|workspace|(?:code|files?|sources?|secrets) (?:in|under|of))\s+[`'\"]?"
    r"([\w-][\w.-]{0,100}(?:/[\w.-]{1,100}){0,20})(?![\w/])",
    re.IGNORECASE,
)
_ROUTE = re.compile(
    r"\b(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s+(/[^\s\"'`<>?#;,)]{0,400})"
    r"|\b(?:path|route|uri|page|endpoint)[=: ]\s?[\"'`]?(/[^\s\"'`<>?#;,)]{0,400})",
)
_SERVICE = re.compile(
    r"\b(?:service|unit|daemon)\s+[`'\"]?([A-Za-z0-9_][A-Za-z0-9@_.-]{1,100})|([\w@-]{2,100})\.service\b"
)
_DURATION = re.compile(
    r"(?<![\w.])(\d{1,9}(?:\.\d{1,6})?)\s{0,2}(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\b",
    re.IGNORECASE,
)
_LAST = re.compile(r"\b(?:last|past|previous)\s+(minute|hour|day|week)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.:/-])\d{1,15}(?:\.\d{1,9})?(?![\w:/]|\.\d)")
_SECONDS: Mapping[str, float] = {"ms": 0.001, "mi": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NOT_HOSTS = frozenset(
    [
        "line",
        "lines",
        "error",
        "errors",
        "code",
        "status",
        "http",
        "https",
        "port",
        "tcp",
        "udp",
        "exit",
        "pid",
        "row",
        "column",
        "at",
        "level",
    ]
)
_NOT_SERVICES = frozenset(
    [
        "up",
        "down",
        "running",
        "stopped",
        "failing",
        "is",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "does",
        "do",
        "did",
        "on",
        "in",
        "at",
        "of",
        "for",
        "to",
        "and",
        "or",
        "the",
        "a",
        "an",
        "it",
        "that",
        "which",
    ]
)
_NOT_FOLDERS = frozenset(
    {"this", "these", "my", "our", "your", "here", "there", "all", "production", "use", "question"}
)
# Names that end like a host but are files; a host under such a domain is found in a URL or after `host`.
_FILES = frozenset(
    [
        "log",
        "logs",
        "txt",
        "out",
        "err",
        "json",
        "jsonl",
        "yaml",
        "yml",
        "toml",
        "ini",
        "cfg",
        "conf",
        "env",
        "md",
        "rst",
        "csv",
        "tsv",
        "xml",
        "html",
        "css",
        "sql",
        "sh",
        "bash",
        "py",
        "pyi",
        "pyx",
        "js",
        "mjs",
        "cjs",
        "ts",
        "tsx",
        "jsx",
        "go",
        "rs",
        "rb",
        "java",
        "kt",
        "c",
        "h",
        "cc",
        "cpp",
        "hpp",
        "cs",
        "php",
        "pl",
        "lua",
        "swift",
        "scala",
        "gz",
        "zip",
        "tar",
        "pem",
        "crt",
        "key",
        "lock",
        "db",
        "sqlite",
        "service",
        "socket",
        "timer",
    ]
)

Found = list[object]


def extract_target(target: Target, texts: Iterable[str]) -> object:
    """Find what a target declares in some texts: a list where it wants many, else the first; else its default."""
    found: Found = []
    for text in texts:
        for value in _FINDERS[target.kind](text[:MAX_CHARACTERS], target):
            if value not in found:
                found.append(value)
    found = found[: target.limit]
    if target.many:
        return found or (target.default if target.default is not None else [])
    return found[0] if found else target.default


def find_urls(text: str) -> list[dict[str, object]]:
    """Find the HTTP URLs of a text, in order, without names and passwords; malformed ones are passed over."""
    found: list[dict[str, object]] = []
    for match in _URL.finditer(text):
        raw = _trim(match[0])
        try:
            parts = urlsplit(raw)
            port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        except ValueError:
            continue
        if not parts.hostname:
            continue
        scheme, host = parts.scheme.lower(), parts.hostname
        shown = f"[{host}]" if ":" in host else host
        where = f"{scheme}://{shown}{f':{parts.port}' if parts.port else ''}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        url = where + (path if parts.path or parts.query else "")
        entry = {
            "url": url,
            "scheme": scheme,
            "host": host,
            "port": port,
            "path": path,
            "base": f"{where}/",
            "origin": where,
        }
        found.append(dict[str, object](entry))
    return found


def _trim(text: str) -> str:
    """Take off what ends a sentence or a bracket rather than the name."""
    while text and (text[-1] in ".,;:!?'\"*" or (text[-1] in ")]" and not _is_balanced(text))):
        text = text[:-1]
    return text


def _is_balanced(text: str) -> bool:
    return text.count("(") >= text.count(")") and text.count("[") >= text.count("]")


def _without_urls(text: str) -> str:
    return _URL.sub(lambda match: " " * len(match[0]), text)


def _is_file(name: str) -> bool:
    return "." in name and name.rsplit(".", 1)[1].lower() in _FILES


def _find_urls(text: str, _: Target) -> Iterator[object]:
    yield from find_urls(text)


def _find_endpoints(text: str, _: Target) -> Iterator[object]:
    for url in find_urls(text):
        yield {"host": url["host"], "port": url["port"]}
    for match in _ENDPOINT.finditer(_without_urls(text)):
        host, port = match[1].strip("[]"), int(match[2])
        if not 0 < port < 65_536 or host.lower() in _NOT_HOSTS or _is_file(host):
            continue
        # `12:30` is a time, `a.b.c.d` with a number too large is no address.
        if any(character.isalpha() for character in host) or _is_address(host):
            yield {"host": host, "port": port}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _find_ips(text: str, _: Target) -> Iterator[object]:
    for pattern in (_IP_FOUR, _IP_SIX):
        for match in pattern.finditer(text):
            word = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
            if (word.count(".") == 3 or word.count(":") >= 2) and _is_address(word):
                yield word


def _find_hosts(text: str, target: Target) -> Iterator[object]:
    for entry in _find_endpoints(text, target):
        yield entry["host"] if isinstance(entry, dict) else ""  # pyright: ignore[reportUnknownVariableType]
    bare = _ENDPOINT.sub(" ", _without_urls(text))
    yield from _find_ips(bare, target)
    for match in _HOST.finditer(bare):
        if not _is_file(match[0]):
            yield match[0]
    for match in _NAMED_HOST.finditer(bare):
        if match[1].lower() not in _NOT_SERVICES | _NOT_HOSTS and not bare[match.end() :].startswith("."):
            yield match[1]


def _find_ports(text: str, _: Target) -> Iterator[object]:
    bare = _ENDPOINT.sub(" ", _without_urls(text))
    for match in _PORTS.finditer(bare):
        yield from (int(port) for port in re.findall(r"\d+", match[1]) if 0 < int(port) < 65_536)
    for match in _PORT.finditer(bare):
        port = int(match[1] or match[2])
        if 0 < port < 65_536:
            yield port


def _find_paths(text: str, target: Target) -> Iterator[object]:
    bare = _without_urls(text)
    names = [match[1] for match in _QUOTED_PATH.finditer(bare)]
    names += [_trim(match[0]) for match in _PATH.finditer(_QUOTED_PATH.sub(" ", bare))]
    for match in _NAMED_PATH.finditer(bare):
        name = _trim(match[1] or match[2])
        if name.lower() not in _NOT_SERVICES | _NOT_FOLDERS and not (
            target.suffixes and not name.lower().endswith(target.suffixes)
        ):
            yield name
    for name in names:
        is_clear = name.startswith(("/", "~", "./", "../")) or name.endswith("/") or _is_file(name)
        if name and is_clear and (not target.suffixes or name.lower().endswith(target.suffixes)):
            yield name


def _find_routes(text: str, _: Target) -> Iterator[object]:
    for match in _ROUTE.finditer(text):
        yield _trim(match[1] or match[2]) or "/"


def _find_services(text: str, target: Target) -> Iterator[object]:
    yield from _find_words(text, target)
    for match in _SERVICE.finditer(text):
        name = _trim(match[1] or match[2])
        if name.lower() not in _NOT_SERVICES:
            yield name.removesuffix(".service")


def _find_words(text: str, target: Target) -> Iterator[object]:
    for word in target.words:
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
            yield word


def _find_durations(text: str, target: Target) -> Iterator[object]:
    for match in _DURATION.finditer(text):
        unit = match[2].lower()
        if _stands_by(text, match, target):
            yield float(match[1]) * _SECONDS["ms" if unit[:3] in {"ms", "mil"} else unit[0]]
    for match in _LAST.finditer(text):
        yield float(_SECONDS[match[1][0].lower()])


def _find_numbers(text: str, target: Target) -> Iterator[object]:
    for match in _NUMBER.finditer(_without_urls(text)):
        if _stands_by(text, match, target):
            yield float(match[0]) if "." in match[0] else int(match[0])


def _stands_by(text: str, match: re.Match[str], target: Target) -> bool:
    """Whether one of the target's words is near: up to 24 characters before, or 16 after."""
    near = text[max(0, match.start() - 24) : match.end() + 16].lower()
    return not target.words or any(word.lower() in near for word in target.words)


def _find_text(text: str, _: Target) -> Iterator[object]:
    yield text


_FINDERS: Mapping[Kind, Callable[[str, Target], Iterator[object]]] = {
    "url": _find_urls,
    "endpoint": _find_endpoints,
    "host": _find_hosts,
    "ip": _find_ips,
    "port": _find_ports,
    "path": _find_paths,
    "route": _find_routes,
    "service": _find_services,
    "duration": _find_durations,
    "number": _find_numbers,
    "word": _find_words,
    "text": _find_text,
}
