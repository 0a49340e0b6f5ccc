"""What does the systemd journal hold, on a machine that has one?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.tools.builtin.infra.ask import Run, ask
from quorate.tools.builtin.logs.line import Record, name_level
from quorate.tools.builtin.logs.report import LogReport, report_records
from quorate.tools.threads import run_in_thread

JOURNALS = ("/run/log/journal", "/var/log/journal")
MAX_OUTPUT_BYTES = 32 * 1024 * 1024


class JournalReport(Struct, frozen=True, kw_only=True):
    """What the journal tells, or why it cannot be asked."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    report: LogReport | None = None
    """Absent when the journal is unavailable."""


class _Field(Struct, frozen=True):
    """The fields of a journal entry that are read; the rest is left where it is."""

    message: object = msgspec.field(name="MESSAGE", default="")
    priority: object = msgspec.field(name="PRIORITY", default=None)
    time_us: str = msgspec.field(name="__REALTIME_TIMESTAMP", default="")


async def read_journal(run: Run, *, unit: str, minutes: int, max_entries: int, most: int) -> JournalReport:
    """Ask `journalctl` for the newest entries and sum them up."""
    argv = [
        "journalctl",
        "--output=json",
        "--output-fields=MESSAGE,PRIORITY",
        "--no-pager",
        f"--lines={max_entries}",
        f"--since=-{minutes}min",
        *([f"--unit={unit}"] if unit else []),
    ]
    answer = await ask(run, argv, timeout_s=20, max_output_bytes=MAX_OUTPUT_BYTES)
    if answer.reason or "No journal files were found" in answer.warnings:
        return JournalReport(status="unavailable", reason=answer.reason or "this machine keeps no journal")
    name = f"journal {unit}".strip()
    output = answer.output
    report = await run_in_thread(lambda: report_records(name, parse_entries(output), most=most))
    if report.lines:
        return JournalReport(status="ok", report=report)
    # Without a journal, some versions print nothing and end well.
    if not await run_in_thread(_has_journal):
        return JournalReport(status="unavailable", reason="this machine keeps no journal")
    return JournalReport(status="ok", reason=f"no entries in the last {minutes} minutes", report=report)


def _has_journal() -> bool:
    return any(os.path.isdir(place) for place in JOURNALS)


def parse_entries(output: str) -> Iterator[Record]:
    """Read what `journalctl --output=json` prints: an object in each line; a line that was cut is passed over."""
    decode = msgspec.json.Decoder(_Field).decode
    for line in output.splitlines():
        try:
            entry = decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue
        time_s = int(entry.time_us) / 1e6 if entry.time_us.isdigit() else None
        yield Record("journal", time_s, name_level(entry.priority), _text(entry.message))


def _text(message: object) -> str:
    # A message that is no UTF-8 comes as a list of byte values.
    if isinstance(message, list):
        values = cast("list[object]", message)  # whatever it holds is looked at one by one
        return bytes(value for value in values if isinstance(value, int) and 0 <= value < 256).decode(
            "utf-8", "replace"
        )
    return message if isinstance(message, str) else ""
