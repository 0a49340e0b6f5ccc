"""Which exit code does an end have, and how is a failure told in few words?"""

from __future__ import annotations

from quorate.errors import InvalidFiles, QuorateError

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "the run, a check or a tool call failed",
    2: "a word, option, setting or file is wrong, or names nothing there is",
    3: "an extra or a program is missing",
    4: "the run is incomplete: it met a limit",
    5: "the run waits for a person",
    6: "something needed cannot be reached or used: the database, its disk, a provider",
    7: "not allowed: a key, a right or a policy is in the way",
    8: "a vote was held, and nothing was decided",
    130: "interrupted or cancelled",
    141: "whoever read the output went away",
}
"""What each exit code means."""

STATUS_CODES = {"completed": 0, "failed": 1, "incomplete": 4, "waiting": 5, "cancelled": 130}
"""The exit code of each way a run can end or rest."""

_ERROR_CODES = {
    "invalid_input": 2,
    "not_found": 2,
    "too_large": 2,
    "conflict": 2,
    "missing_extra": 3,
    "incomplete": 4,
    "waiting": 5,
    "unavailable": 6,
    "storage_full": 6,
    "corrupt_state": 6,
    "incompatible": 6,
    "upstream_error": 6,
    "rate_limited": 6,
    "unauthenticated": 7,
    "forbidden": 7,
    "blocked_by_policy": 7,
    "cancelled": 130,
    "no_decision": 8,
}


def get_exit_code(error: QuorateError) -> int:
    """Return the exit code of an error; 1 for one that has none of its own."""
    return _ERROR_CODES.get(error.code, 1)


def get_status_code(status: str) -> int:
    """Return the exit code of how a run stands."""
    return STATUS_CODES.get(status, 1)


def describe(error: QuorateError) -> str:
    """Say what went wrong: one line, or for files one line for each fault, and the run it belongs to."""
    message = error.message if isinstance(error, InvalidFiles) else " ".join(error.message.split())
    run = error.context.get("run")
    hint = f" Look at it with `quorate runs show {run} --events`." if run and str(run) not in message else ""
    return message + hint
