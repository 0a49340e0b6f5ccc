"""Which stack traces does a log hold, and which of them are the same one again?"""

from __future__ import annotations

import re

from msgspec import Struct

from quorate.tools.builtin.logs.template import mask

MAX_TRACES = 500
MAX_TRACE_LINES = 500
EXAMPLES = 5

_PYTHON_FRAME = re.compile(r'\s*File "([^"]{1,500})", line (\d+)(?:, in (\S+))?')
_PYTHON_END = re.compile(r"([A-Za-z_][\w.]{0,200})(?:: (.*))?$")
_JAVA_FRAME = re.compile(r"\s+at ([\w.$<>/@]{1,300})\(([^)]{0,200})\)")
_JAVA_HEAD = re.compile(r"(?<![\w.$])([A-Za-z_][\w.$]{0,200}(?:Exception|Error|Throwable))(?:: (.{0,300}))?")


class TraceGroup(Struct, frozen=True, kw_only=True):
    """One kind of failure: the same exception from the same place."""

    language: str
    exception: str
    message: str
    """The message, with what varies masked."""
    place: str
    """The frame in which it was raised."""
    count: int
    lines: tuple[int, ...]
    """The numbers of the lines where its first traces begin."""


class _Count:
    __slots__ = ("count", "lines")

    def __init__(self) -> None:
        self.count = 0
        self.lines: list[int] = []


class Traces:
    """Finds Python and Java traces in lines as they come, in bounded memory."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[tuple[str, str, str, str], _Count] = {}
        self._start = 0
        self._place = ""
        self._language = ""
        self._java = ("", "")
        self._previous = ""

    def add(self, text: str, *, line: int) -> bool:
        """Take the next line, without its prefix of time and level; tell whether it is part of a trace."""
        if self._language and line - self._start > MAX_TRACE_LINES:
            self._language = ""
        inside = self._continue(text, line)
        self._previous = text
        return inside

    def finish(self) -> None:
        """Say that no line follows."""
        if self._language == "java":
            self._close(*self._java)

    def top(self, most: int) -> tuple[TraceGroup, ...]:
        """Return the most frequent groups."""
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1].count, item[1].lines[0]))
        return tuple(
            TraceGroup(
                language=language,
                exception=exception,
                message=message,
                place=place,
                count=found.count,
                lines=tuple(found.lines),
            )
            for (language, exception, message, place), found in ordered[:most]
        )

    def _continue(self, text: str, line: int) -> bool:
        if "Traceback (most recent call last):" in text:
            self.finish()
            self._language, self._start, self._place = "python", line, ""
            return True
        if self._language == "python":
            return self._continue_python(text)
        frame = _JAVA_FRAME.match(text)
        if frame is not None and self._language != "java":
            head = _JAVA_HEAD.search(self._previous)
            if head is None:
                return False
            self._language, self._start = "java", line - 1
            self._java = (head[1], head[2] or "")
            self._place = f"{frame[1]}({frame[2]})"
            return True
        return self._continue_java(text, is_frame=frame is not None)

    def _continue_python(self, text: str) -> bool:
        frame = _PYTHON_FRAME.match(text)
        if frame is not None:
            self._place = f"{frame[1]}:{frame[2]} in {frame[3] or '?'}"
            return True
        if text.startswith((" ", "\t")):
            return True
        if not text.strip():
            return False
        ended = _PYTHON_END.match(text)
        if ended is not None:
            self._close(ended[1], ended[2] or "")
        self._language = ""
        return ended is not None

    def _continue_java(self, text: str, *, is_frame: bool) -> bool:
        if self._language != "java":
            return False
        if is_frame or text.lstrip().startswith(("... ", "Caused by: ", "Suppressed: ")):
            return True
        self.finish()
        return False

    def _close(self, exception: str, message: str) -> None:
        key = (self._language, exception, mask(message)[:300], self._place)
        self._language = ""
        self.total += 1
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= MAX_TRACES:
                return
            found = self._counts[key] = _Count()
        found.count += 1
        if len(found.lines) < EXAMPLES:
            found.lines.append(self._start)
