"""When was a log line written, how bad is it, and what does it say?"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

Level = Literal["trace", "debug", "info", "warning", "error", "critical"]

HEAD_CHARS = 160
"""How far into a line a level is looked for; beyond it is what somebody wrote."""

_LEVELS: dict[str, Level] = {
    "trace": "trace",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "severe": "error",
    "crit": "critical",
    "critical": "critical",
    "fatal": "critical",
    "panic": "critical",
    "alert": "critical",
    "emerg": "critical",
    "emergency": "critical",
}
_PRIORITIES: tuple[Level, ...] = (
    *("critical", "critical", "critical", "error"),
    *("warning", "info", "info", "debug"),
)
_GLOG: dict[str, Level] = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "critical"}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}

_WORD = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|SEVERE|CRIT(?:ICAL)?|FATAL|PANIC|ALERT|EMERG(?:ENCY)?)\b"
    r"|(?:\[|<|\blevel=\"?|\bseverity=\"?|\blvl=\"?|^)"
    r"((?i:trace|debug|info(?:rmation)?|notice|warn(?:ing)?|err(?:or)?|severe|crit(?:ical)?|fatal|panic|alert|emerg))"
    r"(?=[\]>\":,\s]|$)"
)
_ISO = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:([.,])(\d{1,9}))? ?(Z|UTC|[+-]\d\d:?\d\d)?\]?(?:[ \t:|-]|$)"
)
_ACCESS = re.compile(
    r'\S+ \S+ [^\[\]]{0,100}\[(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d{4})\] "([^"]{0,4000})" (\d{3})\b'
)
_NGINX = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (?:\[(\w+)\] )?(?:\d+#\d+: )?")
_APACHE = re.compile(
    r"\[\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d{4})\] \[(?:\w*:)?(\w+)\] (?:\[pid [^\]]*\] )?"
)
_GLOG_LINE = re.compile(r"([DIWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,6}) +\d+ [^\]]{1,200}\] ?")
_SYSLOG = re.compile(r"(?:<(\d{1,3})>)?(\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) ([^\s:\[]{1,100})(?:\[\d+\])?: ?")
_SYSLOG_5424 = re.compile(r"<(\d{1,3})>1 (\S+) \S+ \S+ \S+ \S+ (?:-|\[[^\]]*\]) ?")
_PYTHON = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]+:")

_TIME_KEYS = ("time", "timestamp", "@timestamp", "ts", "asctime", "datetime", "date", "t")
_LEVEL_KEYS = ("level", "levelname", "severity", "lvl", "log.level", "loglevel")
_TEXT_KEYS = ("message", "msg", "event", "error", "text")


class Record(NamedTuple):
    """What a line says; a tuple, since there may be millions."""

    format: str
    time_s: float | None
    """Unix seconds; a time without a zone is read as UTC."""
    level: Level | None
    message: str


class LineParser:
    """Reads the common formats; the one that fitted last is tried first.

    `reference_s` is a moment near the end of the log (its last change), from which the year is taken where lines have
    none.
    """

    def __init__(self, reference_s: float) -> None:
        self._reference_s = reference_s
        self._year = datetime.fromtimestamp(reference_s, UTC).year
        self._formats: list[Callable[[str], Record | None]] = [
            _read_json,
            _read_iso,
            _read_access,
            _read_nginx,
            _read_apache,
            self._read_syslog,
            _read_syslog_5424,
            self._read_glog,
            _read_python,
        ]

    def parse(self, line: str) -> Record:
        """Read a line; without a known format, it is all message."""
        for place, read in enumerate(self._formats):
            record = read(line)
            if record is not None:
                if place:
                    self._formats.insert(0, self._formats.pop(place))
                return record
        return Record("plain", None, find_level(line), line)

    def _read_syslog(self, line: str) -> Record | None:
        found = _SYSLOG.match(line)
        if found is None or found[2] not in _MONTHS:
            return None
        time_s = self._guess_year(_MONTHS[found[2]], *map(int, found.group(3, 4, 5, 6)))
        message = line[found.end() :]
        level = _PRIORITIES[int(found[1]) % 8] if found[1] else find_level(message)
        return Record("syslog", time_s, level, message)

    def _read_glog(self, line: str) -> Record | None:
        found = _GLOG_LINE.match(line)
        if found is None:
            return None
        time_s = self._guess_year(*map(int, found.group(2, 3, 4, 5, 6)))
        return Record("glog", time_s, _GLOG[found[1]], line[found.end() :])

    def _guess_year(self, month: int, day: int, hour: int, minute: int, second: int) -> float | None:
        time_s = _seconds(self._year, month, day, hour, minute, second)
        if time_s is not None and time_s > self._reference_s + 86_400:
            return _seconds(self._year - 1, month, day, hour, minute, second)
        return time_s


def find_level(text: str) -> Level | None:
    """Find the level a line names at its beginning, or `None`; a word such as "error" in a sentence is no level."""
    found = _WORD.search(text, 0, HEAD_CHARS)
    return None if found is None else _LEVELS[(found[1] or found[2]).lower()]


def name_level(value: object) -> Level | None:
    """Read a level from a field: a word, a syslog priority (0 to 7) or a number such as 30 or 40."""
    if isinstance(value, str):
        if value.isdigit():
            return name_level(int(value))
        return _LEVELS.get(value.lower())
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    if value < len(_PRIORITIES):
        return _PRIORITIES[int(value)]
    numbers: tuple[tuple[int, Level], ...] = ((50, "error"), (40, "warning"), (30, "info"), (20, "debug"))
    if value >= 60:
        return "critical"
    for least, name in numbers:
        if value >= least:
            return name
    return "trace"


def _read_json(line: str) -> Record | None:
    if not line.startswith("{"):
        return None
    try:
        fields = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return None
    stamp = next((fields[key] for key in _TIME_KEYS if key in fields), None)
    level = next((fields[key] for key in _LEVEL_KEYS if key in fields), None)
    text = next((fields[key] for key in _TEXT_KEYS if isinstance(fields.get(key), str)), line)
    return Record("json", _read_stamp(stamp), name_level(level), str(text))


def _read_stamp(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # Seconds, milliseconds, microseconds or nanoseconds: today is 1.7e9 in the first of them.
        for factor in (1.0, 1e3, 1e6, 1e9):
            if 1e8 <= value / factor < 1e10:
                return value / factor
        return None
    found = _ISO.match(value + " ") if isinstance(value, str) else None
    return None if found is None else _read_match(found)


def _read_iso(line: str) -> Record | None:
    found = _ISO.match(line)
    if found is None:
        return None
    message = line[found.end() :]
    return Record("iso", _read_match(found), find_level(message), message)


def _read_match(found: re.Match[str]) -> float | None:
    zone = found[4] or "+00:00"
    fraction = float(f"0.{found[3]}") if found[3] else 0.0
    try:
        moment = datetime.fromisoformat(found[1] + ("+00:00" if zone in {"Z", "UTC"} else zone))
    except ValueError:
        return None
    return moment.timestamp() + fraction


def _read_access(line: str) -> Record | None:
    found = _ACCESS.match(line)
    if found is None or found[2] not in _MONTHS:
        return None
    day, month, year, hour, minute, second, zone, request, status = found.groups()
    time_s = _seconds(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second))
    if time_s is not None:
        time_s -= int(f"{zone[0]}1") * (int(zone[1:3]) * 3600 + int(zone[3:]) * 60)
    level: Level = "error" if status >= "500" else "warning" if status >= "400" else "info"
    outcome = {"error": "server error", "warning": "client error"}.get(level, "answered")
    return Record("access", time_s, level, f"{request.rsplit(' ', 1)[0].partition('?')[0]} {status} {outcome}")


def _read_nginx(line: str) -> Record | None:
    found = _NGINX.match(line)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    message = line[found.end() :]
    level = _LEVELS.get(found[7] or "") or find_level(message)
    return Record("nginx_error", _seconds(year, month, day, hour, minute, second), level, message)


def _read_apache(line: str) -> Record | None:
    found = _APACHE.match(line)
    if found is None or found[1] not in _MONTHS:
        return None
    day, hour, minute, second, year = map(int, found.group(2, 3, 4, 5, 6))
    time_s = _seconds(year, _MONTHS[found[1]], day, hour, minute, second)
    return Record("apache_error", time_s, _LEVELS.get(found[7]), line[found.end() :])


def _read_syslog_5424(line: str) -> Record | None:
    found = _SYSLOG_5424.match(line)
    if found is None:
        return None
    return Record("syslog", _read_stamp(found[2]), _PRIORITIES[int(found[1]) % 8], line[found.end() :])


def _read_python(line: str) -> Record | None:
    found = _PYTHON.match(line)
    return None if found is None else Record("python", None, _LEVELS[found[1].lower()], line[found.end() :])


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> float | None:
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def format_time(time_s: float | None) -> str:
    """Write a moment as people and models read it; empty for `None`."""
    return "" if time_s is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
