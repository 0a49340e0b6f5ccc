"""How is a team at work shown, line by line, on a terminal and without one?"""

import os
import re
import time
from collections.abc import Callable
from typing import TextIO

from quorate.events import (
    AnyEvent,
    RunCompleted,
    RunCreated,
    RunIncomplete,
    StepFinished,
    StepStarted,
    ToolFailed,
    ToolFinished,
    ToolStarted,
)
from quorate.messages import ToolCall
from quorate.models.playbook.report import Diagnosis, Finding

COLOURS = (36, 33, 35, 32, 34, 31)
DIM, BOLD = 2, 1
SEVERITIES = {"critical": 31, "high": 31, "medium": 33, "low": 36, "info": 2}
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u206f]")


def is_coloured(stream: TextIO) -> bool:
    """Whether somebody looks at a terminal that takes colours."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def clean(text: str) -> str:
    """A text without anything a terminal would act on: what tools report was written by others."""
    return UNFIT.sub("?", text)


class Screen:
    """Prints lines; colours them where that makes sense."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = is_coloured(stream)

    def say(self, text: str = "", colour: int = 0) -> None:
        """Print a line at once."""
        self.write(self.paint(clean(text), colour))

    def write(self, line: str) -> None:
        """Print a line that is clean already."""
        print(line, file=self._stream, flush=True)

    def paint(self, text: str, colour: int) -> str:
        """The text in a colour."""
        return f"\033[{colour}m{text}\033[0m" if self._coloured and colour else text


class LiveView:
    """Shows what each agent of a run does, with the milliseconds since the beginning."""

    def __init__(self, screen: Screen, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._elapsed = elapsed
        self._began_s = elapsed()
        self._agents: dict[str, str] = {}
        self._colours: dict[str, int] = {}
        self._calls: dict[str, tuple[str, float]] = {}
        self.team: list[str] = []
        """The agents seen, in order."""

    def show(self, event: AnyEvent) -> None:
        """Show one event."""
        match event:
            case RunCreated(agent=agent):
                self._join("", agent)
                self._line("", "begins")
            case StepStarted(key=key, name=name):
                self._join(key, name)
                self._line(key, "begins")
            case StepFinished(key=key, status=status):
                self._line(key, "is done" if status == "completed" else status)
            case ToolStarted(key=key, call=call):
                self._calls[key] = (call.name, self._elapsed())
                self._line(key, f"▸ {describe(call)}")
            case ToolFinished(key=key) | ToolFailed(key=key):
                name, began_s = self._calls.get(key, ("?", self._elapsed()))
                took = f"{(self._elapsed() - began_s) * 1000:.0f} ms"
                self._line(key, f"{'✓' if isinstance(event, ToolFinished) else '✗'} {name} in {took}")
            case RunCompleted() | RunIncomplete():
                self._line("", "has the report" if isinstance(event, RunCompleted) else f"met a limit: {event.message}")
            case _:
                pass

    def _join(self, path: str, agent: str) -> None:
        self._agents[path] = agent
        if agent not in self._colours:
            self._colours[agent] = COLOURS[len(self._colours) % len(COLOURS)]
            self.team.append(agent)

    def _line(self, key: str, words: str) -> None:
        owner = max((path for path in self._agents if key.startswith(path)), key=len, default="")
        agent = self._agents.get(owner, "?")
        ms = f"{(self._elapsed() - self._began_s) * 1000:7.0f} ms"
        name = self._screen.paint(f"{clean(agent):<22}", self._colours.get(agent, 0))
        self._screen.write(f"{self._screen.paint(ms, DIM)}  {name} {clean(words)}")


def describe(call: ToolCall) -> str:
    """A call on one line."""
    text = f"{call.name} {call.arguments}" if call.arguments not in ("", "{}") else call.name
    return text if len(text) <= 110 else f"{text[:109]}…"


def show_report(screen: Screen, report: Diagnosis) -> None:
    """Print a diagnosis for people."""
    screen.say(report.summary, BOLD)
    for place, finding in enumerate(report.findings, 1):
        show_finding(screen, place, finding)
    for title, lines in (
        ("Measured and fine", report.checked),
        ("Could not be measured", report.unavailable),
        ("Next steps", report.next_steps),
    ):
        if lines:
            screen.say(f"\n{title}:", BOLD)
            for line in lines:
                screen.say(f"  - {line}")


def show_finding(screen: Screen, place: int, finding: Finding) -> None:
    """Print one finding with what it rests on."""
    source = f" ({finding.source})" if finding.source else ""
    screen.say()
    severity = screen.paint(finding.severity.upper(), SEVERITIES.get(finding.severity, 0))
    screen.write(f"  {place}. {severity}  {clean(finding.title)}{clean(source)}")
    if finding.detail:
        screen.say(f"     {finding.detail}")
    for evidence in finding.evidence:
        screen.say(f"       · {evidence.fact}  [{evidence.tool}]", DIM)
