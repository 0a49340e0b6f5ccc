"""In which order did the runs of a session happen, and which of them go on from the same one?"""

from __future__ import annotations

from collections import defaultdict

from quorate.events import RunCreated
from quorate.ports import Log
from quorate.state.sessions.session import Session, TimelineEntry
from quorate.state.sessions.turns import list_session_runs, read_beginnings

AT_ONCE = 100


async def build_timeline(log: Log, session: Session) -> list[TimelineEntry]:
    """Build the line of a session's runs, oldest first; a run that is deleted meanwhile is left out."""
    runs = [summary async for summary in list_session_runs(log, session, order="oldest")]
    created: dict[str, RunCreated] = {}
    for begin in range(0, len(runs), AT_ONCE):
        created.update({first.run: first for first in await read_beginnings(log, runs[begin : begin + AT_ONCE])})
    going_on = defaultdict[str, list[str]](list)
    for run, first in created.items():
        going_on[first.previous].append(run)
    return [
        TimelineEntry(
            run=summary,
            previous=first.previous,
            previous_seq=first.previous_seq,
            beside=tuple(run for run in going_on[first.previous] if run != summary.run),
        )
        for summary in runs
        if (first := created.get(summary.run)) is not None
    ]
