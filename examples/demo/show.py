"""How is a team at work shown, line by line, on a terminal and without one?"""

import os
import re
from typing import TextIO

import msgspec

from quorate.council.decision import Decision
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
    VoteCast,
    VoteClosed,
    VoteOpened,
    VoteRefused,
)
from quorate.messages import ToolCall
from quorate.models.playbook.report import Diagnosis, Finding

COLOURS = (36, 33, 35, 32, 34, 31)
DIM, BOLD, RED = 2, 1, 31
SEVERITIES = {"critical": 31, "high": 31, "medium": 33, "low": 36, "info": 2}
INNER = frozenset({"run_procedure", "open_decision", "sign_ballot", "close_decision", "file_decision"})
"""Calls by which a council keeps its record: they are no work of its members."""
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
    """Shows what each agent of a run does, with the milliseconds since the run began."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._began_s = 0.0
        self._agents: dict[str, str] = {}
        self._colours: dict[str, int] = {}
        self._calls: dict[str, ToolStarted] = {}
        self.team: list[str] = []
        """The agents seen, in order."""

    def show(self, event: AnyEvent) -> None:
        """Show one event."""
        match event:
            case RunCreated(agent=agent):
                self._began_s = event.time
                self._join("", agent)
                self._line(event, "begins")
            case StepStarted(key=key, name=name):
                self._join(key, name)
                self._line(event, "begins")
            case StepFinished(status=status):
                self._line(event, "is done" if status == "completed" else status)
            case ToolStarted(call=call) if call.name in INNER:
                pass
            case ToolStarted(key=key, call=call):
                self._calls[key] = event
                self._line(event, f"▸ {describe(call)}")
            case ToolFinished(key=key) | ToolFailed(key=key) if key in self._calls:
                self._line(event, self._describe_end(event, self._calls[key]))
            case VoteOpened(roll=roll, rule=rule):
                self._line(event, f"opens the vote: {len(roll)} may vote, by {rule}")
            case VoteCast(voter=voter, choice=choice):
                self._line(event, f"● {voter} votes: {choice}")
            case VoteRefused(voter=voter, why=why):
                self._line(event, f"✗ {voter} casts no ballot that counts: {why}")
            case VoteClosed(why=why):
                self._line(event, f"counts: {why}")
            case RunCompleted():
                self._line(event, "has the report")
            case RunIncomplete(message=message):
                self._line(event, f"met a limit: {message}")
            case _:
                pass

    def _describe_end(self, event: ToolFinished | ToolFailed, started: ToolStarted) -> str:
        mark = "✓" if isinstance(event, ToolFinished) else "✗"
        return f"{mark} {describe(started.call, most=60)} in {(event.time - started.time) * 1000:.0f} ms"

    def _join(self, path: str, agent: str) -> None:
        self._agents[path] = agent
        if agent not in self._colours:
            self._colours[agent] = COLOURS[len(self._colours) % len(COLOURS)]
            self.team.append(agent)

    def _line(self, event: AnyEvent, words: str) -> None:
        owner = max((path for path in self._agents if event.key.startswith(path)), key=len, default="")
        agent = self._agents.get(owner, "?")
        ms = f"{(event.time - self._began_s) * 1000:7.0f} ms"
        name = self._screen.paint(f"{clean(agent):<20}", self._colours.get(agent, 0))
        self._screen.write(f"{self._screen.paint(ms, DIM)}  {name} {clean(words)}")


def describe(call: ToolCall, *, most: int = 110) -> str:
    """A call on one line, such as `http_timing url="http://127.0.0.1:9"`."""
    given = msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
    words = [f"{name}={msgspec.json.encode(value).decode()}" for name, value in given.items()]
    text = " ".join([call.name, *words])
    return text if len(text) <= most else f"{text[: most - 1]}…"


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


def show_decision(screen: Screen, record: Decision) -> None:
    """Print the record of a decision for people."""
    last = record.last
    for cast in last.ballots:
        screen.say()
        is_dissent = cast.voter in last.dissent
        mark = "–" if cast.ballot.abstains else "✗" if is_dissent else "✓"
        chosen = "abstains" if cast.ballot.abstains else cast.ballot.choice
        screen.say(f"  {mark} {cast.voter}: {chosen}", RED if is_dissent else 0)
        screen.say(f"     {cast.ballot.reason}")
        for fact in cast.ballot.evidence:
            screen.say(f"       · {fact}", DIM)
    for refused in last.refused:
        screen.say(f"\n  ✗ {refused.voter}: no ballot ({refused.why})")
    points = ", ".join(f"{option}: {number:g}" for option, number in last.points.items() if number)
    margin = "none" if last.margin is None else f"{last.margin:g}"
    screen.say(f"\nDecided: {record.winner or 'nothing'}", BOLD)
    screen.say(f"  {record.why}")
    screen.say(f"  {points}; turnout {last.turnout:.0%}, margin {margin}, dissent: {', '.join(last.dissent) or 'none'}")
