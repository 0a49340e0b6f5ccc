"""What does the access log of a web server tell: how much, how fast, what failed, and who asked?"""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from quorate.tools.builtin.checks import clean, hide_values
from quorate.tools.builtin.files.lines import iter_lines, open_stream
from quorate.tools.workspace import Workspace

MAX_LINES = 2_000_000
MAX_KEPT = 200_000
MAX_KEYS = 20_000
SECONDS = 40.0
_LINE = re.compile(
    r"(?P<client>[0-9A-Za-z.:_-]{1,100}) \S{1,100} (?P<user>\S{1,200}) \[(?P<at>[^\]]{1,60})\] "
    r'"(?P<request>(?:[^"\\]|\\.){0,8000})" (?P<status>\d{3}) (?P<bytes>\d{1,18}|-)'
    r'(?: "(?P<referer>(?:[^"\\]|\\.){0,4000})" "(?P<agent>(?:[^"\\]|\\.){0,2000})")?(?P<rest>.{0,1000})'
)
_SECONDS = re.compile(r'(?:^|[\s="])(?:rt|request_time|urt|duration)?=?"?(\d{1,6}\.\d{1,6})"?(?=\s|$)')
_MICROSECONDS = re.compile(r"\s(\d{1,12})\s*$")
_ATTACKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("path traversal", re.compile(r"(?i)\.\./|%2e%2e(?:%2f|/)|/etc/passwd")),
    (
        "SQL injection",
        re.compile(
            r"(?i)(?:union(?:\+|%20| ){1,5}select|'(?:\+|%20| ){0,5}or(?:\+|%20| )|sleep\(\d|information_schema)"
        ),
    ),
    ("script injection", re.compile(r"(?i)<script|%3cscript|javascript:")),
    ("command injection", re.compile(r"(?i)(?:;|%3b|\|)(?:\+|%20| ){0,5}(?:wget|curl|cat|sh|bash)\b|\$\{jndi:")),
    (
        "a hunt for secrets",
        re.compile(r"(?i)/\.(?:env|git/|aws/|ssh/)|/wp-(?:login|admin|config)|/phpmyadmin|/actuator/"),
    ),
)


class Durations(Struct, frozen=True, kw_only=True):
    """How long requests took, in milliseconds."""

    measured: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class PathCount(Struct, frozen=True, kw_only=True):
    """A path and what came of it; numbers and identifiers in it are put together."""

    path: str
    count: int
    errors: int
    """Answers of 500 and above."""
    p95_ms: float | None = None


class SlowRequest(Struct, frozen=True, kw_only=True):
    """One request that took long."""

    path: str
    ms: float
    at: str
    status: int


class ClientCount(Struct, frozen=True, kw_only=True):
    """Who asked, and how often."""

    client: str
    count: int
    errors: int = 0
    """Answers of 400 and above."""


class AgentCount(Struct, frozen=True, kw_only=True):
    """Which program asked, and how often."""

    agent: str
    count: int


class Suspicion(Struct, frozen=True, kw_only=True):
    """Requests that look like an attack."""

    what: str
    count: int
    answered: int
    """How many of them were answered with success."""
    example: str


class AccessReport(Struct, frozen=True, kw_only=True):
    """What an access log tells."""

    path: str
    format: str
    """`common`, `combined`, `json` or `unknown`."""
    lines: int
    parsed: int
    first_at: str = ""
    last_at: str = ""
    requests_per_s: float = 0.0
    peak_per_minute: int = 0
    peak_at: str = ""
    statuses: dict[str, int] = {}
    """By class, such as `2xx`."""
    codes: dict[str, int] = {}
    error_percent: float = 0.0
    """Answers of 500 and above."""
    bytes: int = 0
    duration: Durations | None = None
    """Absent where the log has no times."""
    slow_count: int = 0
    top_paths: tuple[PathCount, ...] = ()
    slow: tuple[SlowRequest, ...] = ()
    top_clients: tuple[ClientCount, ...] = ()
    top_agents: tuple[AgentCount, ...] = ()
    methods: dict[str, int] = {}
    suspicious: tuple[Suspicion, ...] = ()
    truncated: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """One line as it is read."""

    client: str
    at: datetime | None
    method: str
    path: str
    status: int
    size: int
    agent: str = ""
    ms: float | None = None


class _Sums:
    def __init__(self) -> None:
        self.parsed = self.bytes = self.slow_count = 0
        self.codes, self.methods, self.clients, self.agents = (
            Counter[int](),
            Counter[str](),
            Counter[str](),
            Counter[str](),
        )
        self.bad_clients, self.paths, self.errors = Counter[str](), Counter[str](), Counter[str]()
        self.minutes = Counter[datetime]()
        self.times: list[float] = []
        self.by_path: dict[str, list[float]] = {}
        self.slow: list[SlowRequest] = []
        self.attacks: dict[str, list[int]] = {}
        self.examples: dict[str, str] = {}
        self.first: datetime | None = None
        self.last: datetime | None = None


def sum_up_access(
    workspace: Workspace, path: str, *, slow_ms: float, most: int, seconds: float = SECONDS
) -> AccessReport:
    """Sum up an access log in the common, combined or a JSON format; a packed one (`.gz`) is unpacked as it is read.

    Raises:
        ToolError: The name is refused or missing.
    """
    sums, ends_at = _Sums(), time.monotonic() + seconds
    lines, form, truncated = 0, "unknown", False
    with open_stream(workspace, path) as stream:
        for raw in iter_lines(stream, max_line_bytes=16_384):
            if lines >= MAX_LINES or (lines % 1024 == 0 and time.monotonic() > ends_at):
                truncated = True
                break
            lines += 1
            text = raw.decode("utf-8", "replace")
            found = parse_line(text)
            if found is None:
                continue
            if form == "unknown":
                form = "json" if text.startswith("{") else "combined" if found.agent else "common"
            _add(sums, found, slow_ms)
    return _build(path, form, lines, sums, most=most, truncated=truncated)


def parse_line(line: str) -> Request | None:
    """Read one line of an access log; `None` when it is none."""
    if line.startswith("{"):
        return _parse_json(line)
    match = _LINE.match(line)
    if match is None:
        return None
    words = match["request"].split(" ")
    rest = match["rest"]
    seconds = _SECONDS.search(rest)
    micro = None if seconds else _MICROSECONDS.search(rest)
    ms = float(seconds[1]) * 1000 if seconds else int(micro[1]) / 1000 if micro else None
    return Request(
        client=match["client"],
        at=_parse_time(match["at"]),
        method=words[0] if len(words) >= 2 else "",
        path=words[1] if len(words) >= 2 else match["request"],
        status=int(match["status"]),
        size=int(match["bytes"]) if match["bytes"] != "-" else 0,
        agent=match["agent"] or "",
        ms=ms,
    )


def _parse_json(line: str) -> Request | None:
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return None
    status = _first(fields, "status", "status_code", "response_status", "StatusCode")
    path = _first(fields, "path", "uri", "request_uri", "url", "RequestPath")
    request = _first(fields, "request")
    if not path and request.count(" ") >= 1:
        path = request.split(" ")[1]
    if not status.isdigit() or not path or len(status) != 3:
        return None
    ms = None
    for name, factor in (
        ("request_time", 1000.0),
        ("duration_ms", 1.0),
        ("latency_ms", 1.0),
        ("response_time_ms", 1.0),
        ("duration", 1000.0),
    ):
        text = _first(fields, name)
        if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text):
            ms = float(text) * factor
            break
    size = _first(fields, "body_bytes_sent", "bytes", "size", "bytes_sent")
    return Request(
        client=_first(fields, "remote_addr", "client", "client_ip", "ip", "remote_ip")[:100],
        at=_parse_time(_first(fields, "time", "timestamp", "time_local", "time_iso8601", "@timestamp", "ts")),
        method=_first(fields, "method", "request_method") or request.split(" ")[0],
        path=path,
        status=int(status),
        size=int(size) if size.isascii() and size.isdigit() and len(size) < 19 else 0,
        agent=_first(fields, "http_user_agent", "user_agent", "agent")[:2000],
        ms=ms,
    )


def _first(fields: dict[str, object], *names: str) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def _parse_time(text: str) -> datetime | None:
    try:
        if re.match(r"\d{1,2}/[A-Z][a-z]{2}/\d{4}:", text):
            return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        if re.fullmatch(r"\d{9,11}(?:\.\d{1,9})?", text):
            return datetime.fromtimestamp(float(text), UTC)
        found = datetime.fromisoformat(text)
        # A zone may lead out of the years there are.
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _add(sums: _Sums, one: Request, slow_ms: float) -> None:
    sums.parsed += 1
    sums.bytes += one.size
    sums.codes[one.status] += 1
    sums.methods[one.method[:20] if one.method.isalpha() else "other"] += 1
    path = fold_path(one.path)
    _count(sums.paths, path)
    _count(sums.clients, one.client)
    if one.agent:
        _count(sums.agents, one.agent[:200])
    if one.status >= 400:
        _count(sums.bad_clients, one.client)
    if one.status >= 500:
        _count(sums.errors, path)
    if one.at is not None:
        sums.first = one.at if sums.first is None or one.at < sums.first else sums.first
        sums.last = one.at if sums.last is None or one.at > sums.last else sums.last
        minute = one.at.replace(second=0, microsecond=0)
        if minute in sums.minutes or len(sums.minutes) < MAX_KEPT:
            sums.minutes[minute] += 1
    if one.ms is not None:
        _add_time(sums, one, path, one.ms, slow_ms)
    for what, pattern in _ATTACKS:
        if pattern.search(one.path[:2000]):
            counts = sums.attacks.setdefault(what, [0, 0])
            counts[0] += 1
            counts[1] += one.status < 400
            sums.examples.setdefault(what, hide_values(clean(one.path, 200)))
            break


def _add_time(sums: _Sums, one: Request, path: str, ms: float, slow_ms: float) -> None:
    if len(sums.times) < MAX_KEPT:
        sums.times.append(ms)
    if len(sums.by_path) < 2000 or path in sums.by_path:
        times = sums.by_path.setdefault(path, [])
        if len(times) < 2000:
            times.append(ms)
    if ms >= slow_ms:
        sums.slow_count += 1
        sums.slow.append(
            SlowRequest(path=hide_values(clean(one.path, 300)), ms=round(ms, 1), at=_show(one.at), status=one.status)
        )
        if len(sums.slow) > 1000:
            sums.slow = sorted(sums.slow, key=lambda slow: -slow.ms)[:100]


def _count(counter: Counter[str], key: str) -> None:
    if key in counter or len(counter) < MAX_KEYS:
        counter[key] += 1


def fold_path(path: str) -> str:
    """Put paths together that differ in a number or an identifier alone; what follows `?` goes."""
    plain = path.partition("?")[0][:300]
    parts = plain.split("/")
    folded = ["{id}" if re.fullmatch(r"\d{1,30}|[0-9a-fA-F-]{16,80}", part) else part for part in parts]
    return clean("/".join(folded), 300)


def _show(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def find_percentile(ordered: list[float], share: float) -> float:
    """Return the value below which a share of the sorted values lies."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0


def _build(path: str, form: str, lines: int, sums: _Sums, *, most: int, truncated: bool) -> AccessReport:
    classes = Counter[str]()
    for code, count in sums.codes.items():
        classes[f"{code // 100}xx"] += count
    ordered = sorted(sums.times)
    span_s = (sums.last - sums.first).total_seconds() if sums.first and sums.last else 0.0
    peak = max(sums.minutes.items(), key=lambda pair: pair[1], default=(None, 0))
    return AccessReport(
        path=path,
        format=form,
        lines=lines,
        parsed=sums.parsed,
        first_at=_show(sums.first),
        last_at=_show(sums.last),
        requests_per_s=round(sums.parsed / span_s, 3) if span_s else 0.0,
        peak_per_minute=peak[1],
        peak_at=_show(peak[0]),
        statuses=dict(sorted(classes.items())),
        codes={str(code): count for code, count in sorted(sums.codes.items())},
        error_percent=round(100 * classes["5xx"] / sums.parsed, 2) if sums.parsed else 0.0,
        bytes=sums.bytes,
        duration=Durations(
            measured=len(ordered),
            p50_ms=find_percentile(ordered, 0.5),
            p95_ms=find_percentile(ordered, 0.95),
            p99_ms=find_percentile(ordered, 0.99),
            max_ms=round(ordered[-1], 1),
        )
        if ordered
        else None,
        slow_count=sums.slow_count,
        top_paths=tuple(_describe_path(sums, one, count) for one, count in sums.paths.most_common(most)),
        slow=tuple(sorted(sums.slow, key=lambda slow: -slow.ms)[:most]),
        top_clients=tuple(
            ClientCount(client=clean(one, 100), count=count, errors=sums.bad_clients[one])
            for one, count in sums.clients.most_common(most)
        ),
        top_agents=tuple(
            AgentCount(agent=clean(one, 200), count=count) for one, count in sums.agents.most_common(most)
        ),
        methods=dict(sums.methods.most_common(20)),
        suspicious=tuple(
            Suspicion(what=what, count=counts[0], answered=counts[1], example=sums.examples[what])
            for what, counts in sorted(sums.attacks.items(), key=lambda pair: -pair[1][0])
        ),
        truncated=truncated,
    )


def _describe_path(sums: _Sums, path: str, count: int) -> PathCount:
    times = sorted(sums.by_path.get(path, []))
    return PathCount(
        path=path, count=count, errors=sums.errors[path], p95_ms=find_percentile(times, 0.95) if times else None
    )
