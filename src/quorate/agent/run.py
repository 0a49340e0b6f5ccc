"""What does one agent know while it runs, and what may it be told beside its task?"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from quorate.agent.compile import Compiled, Wrap
from quorate.agent.journal import Journal, Listener
from quorate.agent.limits import Budget, Counter
from quorate.agent.output import MAX_REPAIRS, Mode
from quorate.agent.scope import Scope
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import Cancelled, Fenced, Incomplete, InvalidInput
from quorate.events import AnyEvent
from quorate.messages import Delta, Message, Reply, ToolCall, ToolResult, build_user_message
from quorate.ports import Log, Model, RunInfo, Services
from quorate.specs import FINAL_TOOL, Caller, Limits, Request


class RunOptions(Struct, frozen=True, kw_only=True):
    """What a run may be told beside its task; every field has a sensible default."""

    log: Log | None = None
    """Where to record it durably; without one the record lasts as long as the result."""
    limits: Limits | None = None
    """Instead of the agent's own."""
    session: str | None = None
    tenant: str = "default"
    principal: str = "local"
    run_id: str | None = None
    labels: dict[str, str] = {}
    listeners: tuple[Listener, ...] = ()
    """Called with every event once it is recorded."""
    clock: Clock = SYSTEM_CLOCK
    owner: str = ""
    """Whose lease covers the attempt; without one nobody takes the run over."""
    previous: str = ""
    """The run whose conversation `history` is: it is referred to instead of being recorded again."""
    previous_seq: int = 0
    """Up to which event of it; 0 for all of them."""
    idempotency_key: str | None = None
    request: str = ""
    """SHA-256 over what was asked for, where there is an idempotency key."""
    services: Services | None = None
    """What tools may reach beside the log."""
    wrap: Wrap | None = None
    """Put around the tools of the agent and of every agent it delegates to."""
    wrap_model: Callable[[Model], Model] | None = None
    """Put around the model of the agent and of every agent it delegates to."""
    trace: str = ""
    """The W3C `traceparent` of whoever asks: the run then belongs to that trace."""


DEFAULTS = RunOptions()
PAYER = "quota.payer"
"""The label of a run that says whose quotas below the tenant's it counts in, as `project/key`."""


class Run:
    """One agent at work: its conversation, and what it shares with the agents above and below it."""

    __slots__ = (
        "_repairs", "budget", "caller", "clock", "compiled", "counter", "deps", "handed_over", "info", "instructions",
        "journal", "late", "live", "messages", "mode", "model", "path", "profile", "reply", "scope", "services",
        "value", "watched", "wrap", "wrap_model",
    )  # fmt: skip

    def __init__(
        self,
        compiled: Compiled,
        info: RunInfo,
        *,
        model: Model,
        deps: object,
        messages: list[Message],
        journal: Journal,
        budget: Budget,
        scope: Scope,
        clock: Clock,
        path: str = "",
    ) -> None:
        self.compiled = compiled
        self.info = info
        self.model = model
        self.deps = deps
        self.messages = messages
        self.journal = journal
        self.budget = budget
        self.scope = scope
        self.clock = clock
        self.path = path
        self.handed_over = False
        """Whether any worker may go on with it at once when it is left."""
        self.wrap: Wrap | None = None
        """What is put around the tools of delegates, too."""
        self.wrap_model: Callable[[Model], Model] | None = None
        """What is put around the models of delegates, too."""
        self.services: Services | None = None
        """What its tools may reach beside the log; there is none where no runtime opened one."""
        self.counter = Counter(limits=info.limits, budget=budget)
        self.profile = model.profile
        self.caller = Caller(
            tenant=info.tenant,
            principal=info.principal,
            run=info.run,
            session=info.session or "",
            agent=info.agent,
            cost_usd=info.limits.cost_usd,
            payer=info.payer,
        )
        self.live = journal.fresh is not None
        """Whether somebody watches."""
        self.watched = self.live and not path
        """Whether this agent's own steps are what is watched; a delegate's are shown through the agent above."""
        self.reply: Reply
        """The reply that was streamed last."""
        self.late: tuple[str, ToolCall] | None = None
        """The call whose result is recorded with the next question."""
        self.value: object = None
        """The final answer, once there is one."""
        self.mode: Mode = compiled.output.choose_mode(self.profile)
        self._repairs = 0
        self.instructions = compiled.build_instructions(deps, self.mode)

    def build_request(self, key: str) -> Request:
        """Build what the model is asked next."""
        compiled, mode = self.compiled, self.mode
        return Request(
            messages=tuple(self.messages),
            instructions=self.instructions,
            tools=compiled.specs_with_output if mode == "tool" else compiled.specs,
            output=compiled.output.spec if mode == "native" else None,
            settings=compiled.settings,
            key=key,
            caller=self.caller,
        )

    def watch(self) -> list[AnyEvent]:
        """Show what happens from now on; return what this attempt has recorded until now.

        A reply that is under way is shown once it is whole, and the next one as it comes.
        """
        journal = self.journal
        if journal.fresh is None:
            journal.fresh = []
            self.live = self.watched = True
        return journal.events[journal.loaded :]

    def unwatch(self) -> None:
        """Show nothing more: nobody watches, which is cheaper."""
        self.journal.fresh = None
        self.live = self.watched = False

    def add_repair(self, error: InvalidInput, calls: tuple[ToolCall, ...]) -> None:
        """Tell the model why its answer does not fit; every call it made gets a result, as providers want.

        Raises:
            Incomplete: It was told often enough.
        """
        self._repairs += 1
        if self._repairs > MAX_REPAIRS:
            raise Incomplete(f"The answer did not fit after {MAX_REPAIRS} repairs: {error}", limit="output") from error
        repair = f"{error.message}\nMend it and answer again."
        if calls:
            self._answer_calls(calls, repair, code=error.code)
        else:
            self.messages.append(build_user_message(repair))

    def add_acceptance(self, calls: tuple[ToolCall, ...]) -> None:
        """End the conversation with a result for every call, so that it can go on as history."""
        self._answer_calls(calls, "The answer was taken.", code="")

    def _answer_calls(self, calls: tuple[ToolCall, ...], words: str, *, code: str) -> None:
        results = [
            ToolResult(call_id=call.id, name=call.name, content=words, is_error=bool(code), code=code)
            if call.name == FINAL_TOOL
            else ToolResult(call_id=call.id, name=call.name, content="Not called: an answer was given beside it.")
            for call in calls
        ]
        self.messages.append(Message(role="tool", parts=tuple(results)))

    def emit(self, item: Delta) -> None:
        """Show something that is not recorded."""
        self.scope.call(self.journal.emit, item)

    def cancel(self, reason: str = "") -> None:
        """Stop the whole run at the next chance."""
        if self.journal.on_cancel is not None:
            self.scope.call(self.journal.on_cancel, Cancelled(reason or "The run was cancelled."))

    def fence(self) -> None:
        """Stop this attempt at once and record nothing more of it: another one in this process has the run."""
        cause = Fenced(f"Another attempt of this process owns run {self.info.run!r}; this one stops.")
        self.journal.broken = cause
        self.scope.stop(cause)

    def find(self, key: str) -> AnyEvent | None:
        """Find what the log holds for a step's key."""
        return self.journal.find(key)

    def record(self, kind: Callable[..., AnyEvent], key: str, **facts: object) -> None:
        """Note an event; it is durable with whatever the run records next."""
        self.journal.write(kind, key, **facts)
