"""What can go wrong, as types a program can act on and messages a person can act on.

```
QuorateError                 code                    retryable
├── InvalidInput             invalid_input           no    a value, file or setting is wrong; says where
│   ├── UnknownName          invalid_input           no    no such agent, tool or model; suggests the nearest
│   └── InvalidFiles         invalid_input           no    all faults of all files at once
├── MissingExtra             missing_extra           no    an optional dependency; says what to install
├── Unauthenticated          unauthenticated         no    no usable credential
├── Forbidden                forbidden               no    known, and not allowed
├── BlockedByPolicy          blocked_by_policy       no    a guard or policy said no
├── NotFound                 not_found               no    nothing there, for this tenant
├── Conflict                 conflict                no    somebody else wrote first
│   └── Fenced               conflict                no    a newer attempt owns the run
├── TooLarge                 too_large               no    over a declared size
├── RateLimited              rate_limited            yes   after `retry_after_s`
├── UpstreamError            upstream_error          maybe a provider or remote service failed
├── Unavailable              unavailable             yes   a dependency is lost, or we are draining
│   └── NoResponders         unavailable             yes   nobody listens where a question was asked
├── DeadlineExceeded         deadline_exceeded       no    names the layer whose time ran out
├── StorageFull              storage_full            yes   reads still work
├── BudgetExceeded           budget_exceeded         no    the next call could not be paid for
├── Incomplete               incomplete              no    a run met a limit, or a stream was cut
├── Cancelled                cancelled               no    a person or program asked to stop
├── Waiting                  waiting                 no    a run rests until somebody answers
├── CorruptState             corrupt_state           no    a stored row does not verify; the run is parked
├── Incompatible             incompatible            no    a record needs a tool or a type this version has not
├── Nondeterministic         nondeterministic        no    a strict replay missed a recorded step
└── ToolError                tool_error              no    raised inside a tool: the model may mend it
```
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar


def mend_text(text: str) -> str:
    """Put `?` for lone surrogates, which no log, no provider and no terminal takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def describe_error(error: BaseException) -> str:
    """Write any exception as `Name: words`, also one whose words cannot be built."""
    try:
        words = str(error)
    except Exception:  # its class is anybody's code
        words = "(its words cannot be shown)"
    return mend_text(f"{type(error).__name__}: {words}")


class QuorateError(Exception):
    """The base of every error that Quorate raises on purpose.

    Catch it at a border; catch a subclass where you can act on it.
    `context` holds the facts behind the message (names, limits, positions), never secrets or prompts.
    """

    code: ClassVar[str] = "error"
    """The stable word for this kind of error, used in logs, on the wire and in exit codes."""

    retryable: bool = False
    """Whether the same call may succeed later, unchanged."""

    def __init__(self, message: str = "", **context: object) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).split("\n", 1)[0])
        self.context: Mapping[str, object] = context

    @property
    def message(self) -> str:
        """The sentence a person reads."""
        return mend_text(str(self.args[0]))


class InvalidInput(QuorateError):
    """A value is not what it must be."""

    code = "invalid_input"


class UnknownName(InvalidInput):
    """A name that nothing has; the message suggests the nearest and lists the choices."""

    def __init__(self, what: str, name: str, choices: Iterable[str] = (), hint: str = "") -> None:
        known = sorted(choices)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        parts = [f"There is no {what} {name!r}."]
        if near:
            parts.append(f"Did you mean `{near[0]}`?")
        if known:
            shown = ", ".join(f"`{choice}`" for choice in known[:12])
            parts.append(f"Known: {shown}{f' and {len(known) - 12} more' if len(known) > 12 else ''}.")
        if hint:
            parts.append(hint)
        super().__init__(" ".join(parts), what=what, name=name, nearest=near[0] if near else None)


class InvalidFiles(InvalidInput):
    """Files that do not hold together; every fault of every file is listed."""

    def __init__(self, what: str, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        """One line for each fault: `file:line: what is wrong, and what to write instead`."""
        count = len(self.faults)
        listed = "\n".join(f"  {fault}" for fault in self.faults)
        super().__init__(f"{count} fault{'s' if count != 1 else ''} in {what}:\n{listed}", what=what)


class MissingExtra(QuorateError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra `{extra}`: pip install 'quorate[{extra}]'", feature=feature, extra=extra
        )


class Unauthenticated(QuorateError):
    """No usable credential was given."""

    code = "unauthenticated"


class Forbidden(QuorateError):
    """This principal may not do that."""

    code = "forbidden"


class BlockedByPolicy(QuorateError):
    """A guard or a policy refused."""

    code = "blocked_by_policy"


class NotFound(QuorateError):
    """Nothing is there."""

    code = "not_found"


class Conflict(QuorateError):
    """Somebody else wrote first; read again and decide anew."""

    code = "conflict"


class Fenced(Conflict):
    """A newer attempt owns this run; this one must stop."""


class TooLarge(QuorateError):
    """A value is over its declared size."""

    code = "too_large"


class RateLimited(QuorateError):
    """Too many calls; try again after `retry_after_s` seconds."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, **context: object) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **context)
        self.retry_after_s = retry_after_s


class UpstreamError(QuorateError):
    """A provider or a remote service failed."""

    code = "upstream_error"

    def __init__(
        self, message: str = "", *, status: int | None = None, retryable: bool = False, **context: object
    ) -> None:
        super().__init__(message, status=status, **context)
        self.status = status
        self.retryable = retryable


class Unavailable(QuorateError):
    """Something this needs is not there at the moment."""

    code = "unavailable"
    retryable = True


class NoResponders(Unavailable):
    """Nobody listens where a question was asked."""


class DeadlineExceeded(QuorateError):
    """Time ran out; the message names the layer."""

    code = "deadline_exceeded"


class StorageFull(QuorateError):
    """There is no room to record; reads still work."""

    code = "storage_full"
    retryable = True


class BudgetExceeded(QuorateError):
    """The next call could not be paid for."""

    code = "budget_exceeded"


class Incomplete(QuorateError):
    """A limit was met before the work was done; partial output is kept."""

    code = "incomplete"


class Cancelled(QuorateError):
    """The run was asked to stop."""

    code = "cancelled"


class Waiting(QuorateError):
    """The run rests until somebody answers."""

    code = "waiting"


class CorruptState(QuorateError):
    """A stored row does not verify, so the run is parked and nothing is guessed."""

    code = "corrupt_state"


class Incompatible(QuorateError):
    """A run was begun by another version of its agent, and this one cannot go on with it; the run is parked."""

    code = "incompatible"


class Nondeterministic(QuorateError):
    """A strict replay came to a step that was not recorded."""

    code = "nondeterministic"


class ToolError(QuorateError):
    """Raise it in a tool for what the model can mend: it goes back as the call's result."""

    code = "tool_error"
