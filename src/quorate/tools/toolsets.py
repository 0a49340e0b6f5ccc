"""How are tools grouped, and how is one group's behaviour changed without touching its tools?"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence

from msgspec import structs

from quorate.errors import DeadlineExceeded, InvalidInput, UnknownName, Waiting
from quorate.events import ApprovalDecided
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.specs import ToolSpec
from quorate.tools.define import fail


class Toolbox:
    """Several toolsets as one; a name may come only once."""

    def __init__(self, toolsets: Sequence[Toolset]) -> None:
        self._specs: list[ToolSpec] = []
        self._owners: dict[str, Toolset] = {}
        for toolset in toolsets:
            for spec in toolset.specs():
                self._specs.append(spec)
                if spec.name in self._owners:
                    raise InvalidInput(
                        f"Two tools are named {spec.name!r}: put one behind a prefix, such as "
                        f"`Prefixed(toolset, 'my_')`."
                    )
                self._owners[spec.name] = toolset

    def specs(self) -> Sequence[ToolSpec]:
        """List all tools, in the order they were given."""
        return self._specs

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make a call with the toolset that has the tool."""
        owner = self._owners.get(call.name)
        if owner is None:
            return fail(call, UnknownName("tool", call.name, self._owners).message)
        return await owner.call(call, context)


class Renamed:
    """A toolset some of whose tools have other names."""

    def __init__(self, inner: Toolset, names: Mapping[str, str]) -> None:
        known = {spec.name for spec in inner.specs()}
        for old in names:
            if old not in known:
                raise UnknownName("tool", old, known)
        self.inner = inner
        self._new = dict(names)
        self._old = {new: old for old, new in names.items()}

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools under their new names."""
        return [structs.replace(spec, name=self._new.get(spec.name, spec.name)) for spec in self.inner.specs()]

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Pass the call on under the old name."""
        if call.name in self._new and call.name not in self._old:
            return fail(call, UnknownName("tool", call.name, [spec.name for spec in self.specs()]).message)
        result = await self.inner.call(structs.replace(call, name=self._old.get(call.name, call.name)), context)
        return structs.replace(result, name=call.name)


def Prefixed(inner: Toolset, prefix: str) -> Renamed:  # noqa: N802  # reads like the wrapper it builds
    """Build a toolset all of whose tools have names that begin with `prefix`."""
    return Renamed(inner, {spec.name: prefix + spec.name for spec in inner.specs()})


class Filtered:
    """A toolset of which only some tools are shown and callable."""

    def __init__(self, inner: Toolset, keep: Callable[[ToolSpec], bool]) -> None:
        self.inner = inner
        self._specs = [spec for spec in inner.specs() if keep(spec)]
        self._names = {spec.name for spec in self._specs}

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools that were kept."""
        return self._specs

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Pass the call on if its tool was kept."""
        if call.name not in self._names:
            return fail(call, UnknownName("tool", call.name, self._names).message)
        return await self.inner.call(call, context)


class TimeBoxed:
    """A toolset whose calls have at most so many seconds each, whatever the tools say."""

    def __init__(self, inner: Toolset, timeout_s: float) -> None:
        self.inner = inner
        self.timeout_s = timeout_s

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools with the shorter of both times."""
        return [structs.replace(spec, timeout_s=min(spec.timeout_s, self.timeout_s)) for spec in self.inner.specs()]

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Pass the call on and cut it when its time is over."""
        limit = asyncio.timeout(self.timeout_s)
        try:
            async with limit:
                return await self.inner.call(call, context)
        except TimeoutError:
            if not limit.expired():
                raise
            return fail(call, f"it did not answer within {self.timeout_s:g} s", DeadlineExceeded.code)


class Approved:
    """A toolset some of whose calls need a person's yes, bound to the exact call.

    A call without an answer rests the run (`Waiting`); the answer is an `approval.decided` event under
    `<key>/approval`, and the next attempt finds it there. An answer for other arguments than these counts for nothing.
    """

    def __init__(self, inner: Toolset, needed: Callable[[ToolCall], bool] = lambda call: True) -> None:
        self.inner = inner
        self._needed = needed

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make the call if nobody needs to be asked, or if the answer was yes.

        Raises:
            Waiting: Nobody has answered yet.
        """
        if not self._needed(call):
            return await self.inner.call(call, context)
        digest = get_call_digest(context.run, context.key, context.call)
        decided = context.owner.find(f"{context.key}/approval")
        if not isinstance(decided, ApprovalDecided) or decided.digest != digest:
            raise Waiting(f"Tool `{call.name}` needs a person's approval.", reason="approval", digest=digest)
        if not decided.approved:
            return fail(call, f"{decided.by} refused it: {decided.reason or 'no reason given'}", "forbidden")
        if decided.arguments is not None:
            call = structs.replace(call, arguments=decided.arguments)
        return await self.inner.call(call, context)


def get_call_digest(run: str, key: str, call: ToolCall) -> str:
    """Return SHA-256 over a run, a step and the exact call: what an approval is bound to."""
    return hashlib.sha256("\0".join((run, key, call.name, call.arguments)).encode()).hexdigest()
