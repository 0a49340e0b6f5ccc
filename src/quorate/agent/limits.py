"""How much may a run still do?"""

from __future__ import annotations

from msgspec import Struct, structs

from quorate.errors import Incomplete, InvalidInput
from quorate.events import AnyEvent, ModelReplied, TaskFinished
from quorate.messages import Reply, ToolCall, Usage
from quorate.specs import Limits, ModelProfile


class Budget(Struct, kw_only=True):
    """What a run and all its delegates have used up together."""

    limits: Limits
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    """US dollars; `None` once something was used whose price is not known."""
    elsewhere: dict[str, Budget] | None = None
    """What tasks that were delegated are known to have used so far, by their keys; added above when they end."""

    def book(self, reply: Reply) -> None:
        """Add what a model call used."""
        self.usage = self.usage + reply.usage
        if calls := len(reply.message.tool_calls):
            self.usage = structs.replace(self.usage, tool_calls=self.usage.tool_calls + calls)
        self.cost_usd = None if self.cost_usd is None or reply.cost_usd is None else self.cost_usd + reply.cost_usd

    def note(self, event: AnyEvent) -> None:
        """Add what an event of the log says was used, as when it was recorded: by a model, or by another run."""
        if isinstance(event, ModelReplied):
            self.book(event.reply)
        elif isinstance(event, TaskFinished):
            self.add(event.usage, event.cost_usd)

    def add(self, usage: Usage, cost_usd: float | None) -> None:
        """Add what somebody else used for the run."""
        self.usage = self.usage + usage
        self.cost_usd = None if self.cost_usd is None or cost_usd is None else self.cost_usd + cost_usd

    def find_passed(self) -> str:
        """Say which limit is met, with all that is used elsewhere; empty where none is."""
        cost, tokens = self.count_all()
        if self.limits.tokens is not None and tokens >= self.limits.tokens:
            return f"The run used {tokens} tokens; its limit is {self.limits.tokens}."
        if self.limits.cost_usd is not None and cost is not None and cost >= self.limits.cost_usd:
            return f"The run cost ${cost:.4f}; its limit is ${self.limits.cost_usd:g}."
        return ""

    def count_all(self) -> tuple[float | None, int]:
        """Return US dollars and tokens, with all that is used elsewhere."""
        parts = (self, *(self.elsewhere or {}).values())
        known = [part.cost_usd for part in parts if part.cost_usd is not None]
        return sum(known) if len(known) == len(parts) else None, sum(part.usage.total_tokens for part in parts)

    def cap(self, limits: Limits) -> Limits:
        """Return limits under which an agent elsewhere may use no more than what is left here."""
        (cost, tokens), shared = self.count_all(), self.limits
        if shared.cost_usd is not None and cost is not None:
            left = max(shared.cost_usd - cost, 0.0)
            limits = structs.replace(limits, cost_usd=left if limits.cost_usd is None else min(left, limits.cost_usd))
        if shared.tokens is not None:
            rest = max(shared.tokens - tokens, 0)
            limits = structs.replace(limits, tokens=rest if limits.tokens is None else min(rest, limits.tokens))
        return limits


class Counter(Struct, kw_only=True):
    """What one agent has done in a run, against its own limits and those it shares."""

    limits: Limits
    budget: Budget
    tool_calls: int = 0
    first_call: tuple[str, str] | None = None
    same_calls: dict[tuple[str, str], int] | None = None
    """How often each call was made; a run that makes only one does without, as a thousand at once feel it."""

    def check_turn(self, turn: int, profile: ModelProfile) -> None:
        """Refuse a turn that would pass a limit.

        Raises:
            Incomplete: The agent has had all its steps, or the run its tokens or money.
            InvalidInput: A cost limit was set for a model whose price nobody knows.
        """
        budget, shared = self.budget, self.budget.limits
        if turn > self.limits.steps:
            raise Incomplete(f"The agent took {self.limits.steps} steps without an answer.", limit="steps")
        if shared.tokens is not None and budget.usage.total_tokens >= shared.tokens:
            used = budget.usage.total_tokens
            raise Incomplete(f"The run used {used} tokens; its limit is {shared.tokens}.", limit="tokens")
        if shared.cost_usd is None:
            return
        if not profile.priced or budget.cost_usd is None:
            raise InvalidInput(
                f"No price is known for model {profile.name!r}, so a limit of ${shared.cost_usd:g} cannot hold: "
                "drop `cost_usd`, or add the model's price to the settings."
            )
        if budget.cost_usd >= shared.cost_usd:
            cost = f"${budget.cost_usd:.4f}"
            raise Incomplete(f"The run cost {cost}; its limit is ${shared.cost_usd:g}.", limit="cost_usd")

    def check_calls(self, calls: tuple[ToolCall, ...]) -> None:
        """Count calls and refuse one too many, or the same one again and again.

        Raises:
            Incomplete: A call was repeated too often, or there were too many.
        """
        self.tool_calls += len(calls)
        if self.tool_calls > self.limits.tool_calls:
            raise Incomplete(f"The agent made {self.limits.tool_calls} tool calls.", limit="tool_calls")
        for call in calls:
            same = (call.name, call.arguments)
            if self.first_call is None:
                self.first_call = same
                continue
            if self.same_calls is None:
                self.same_calls = {self.first_call: 1}
            times = self.same_calls[same] = self.same_calls.get(same, 0) + 1
            if times > self.limits.repeated_calls:
                raise Incomplete(
                    f"Tool {call.name!r} was called {times} times with the same arguments.", limit="repeated_calls"
                )
