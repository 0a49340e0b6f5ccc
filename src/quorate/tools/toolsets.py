"""How are tools grouped, and how is one group's behaviour changed without touching its tools?"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from msgspec import structs

from quorate.codec.json import encode
from quorate.errors import DeadlineExceeded, Forbidden, InvalidInput, UnknownName, Waiting
from quorate.events import ApprovalDecided
from quorate.messages import ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.specs import ToolSpec
from quorate.tools.define import fail
from quorate.tools.outcomes import Found, find_outcome

_POLICY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


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

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Ask the toolset that has the tool what became of a call."""
        owner = self._owners.get(call.name)
        return await find_outcome(owner, call, context) if owner is not None else None


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
        result = await self.inner.call(self._rename(call), context)
        return structs.replace(result, name=call.name)

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Ask under the old name what became of a call."""
        found = await find_outcome(self.inner, self._rename(call), context)
        return structs.replace(found, name=call.name) if isinstance(found, ToolResult) else found

    def _rename(self, call: ToolCall) -> ToolCall:
        return structs.replace(call, name=self._old.get(call.name, call.name))


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

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Ask what became of a call if its tool was kept."""
        return await find_outcome(self.inner, call, context) if call.name in self._names else None


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
    `<key>/approval`, and the next attempt finds it there. An answer for other arguments than these, or under another
    policy, counts for nothing.
    """

    def __init__(
        self,
        inner: Toolset,
        needed: Callable[[ToolCall], bool] = lambda call: True,
        *,
        expires_s: float | None = None,
        editable: Sequence[str] = (),
        by_other: bool = False,
        policy: str = "",
    ) -> None:
        """Guard a toolset.

        Args:
            inner: The toolset.
            needed: Which calls need an answer; all of them by default.
            expires_s: After how many seconds no answer counts any more: the call then fails (`expired`).
            editable: Which arguments the answer may change; nothing by default.
            by_other: Whether whoever asked for the run may not answer.
            policy: Name and version of the rule behind `needed`, such as `refunds-2`: answers given under another one
                do not count, and several guards around one call each ask for their own.

        Raises:
            InvalidInput: A value does not fit, or no tool has an argument that is named in `editable`.
        """
        if expires_s is not None and not 0 < expires_s < math.inf:
            raise InvalidInput(f"`expires_s` is {expires_s!r}: give a number of seconds above 0, or `None`.")
        if policy and not _POLICY.fullmatch(policy):
            raise InvalidInput(f"policy {policy!r} is no name: use up to 63 letters, digits, `.`, `_` and `-`.")
        self.inner = inner
        self.policy = policy
        self._needed = needed
        self._expires_s = expires_s
        self._editable = tuple(editable)
        self._by_other = by_other
        self._slot = f"approval:{policy}" if policy else "approval"
        if self._editable:
            known = _list_arguments(inner.specs())
            for name in self._editable:
                if name not in known:
                    raise UnknownName("argument", name, known)

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make the call if nobody needs to be asked, or if the answer was yes.

        Raises:
            Waiting: Nobody has answered yet.
        """
        if not self._needed(call):
            return await self._pass_on(call, context)
        digest = get_call_digest(context.run, context.key, context.call, policy=self.policy)
        decided = context.owner.find(f"{context.key}/{self._slot}")
        if not isinstance(decided, ApprovalDecided) or decided.digest != digest:
            if call.arguments != context.call.arguments:
                return fail(call, self._describe_change(), Forbidden.code)
            raise Waiting(
                f"Tool `{call.name}` needs a person's approval.",
                slot=self._slot,
                digest=digest,
                expires=context.clock.now() + self._expires_s if self._expires_s is not None else None,
                editable=self._editable,
                by_other=self._by_other,
            )
        if not decided.approved:
            return fail(call, f"{decided.by} refused it: {decided.reason or 'no reason given'}", Forbidden.code)
        if self._by_other and decided.by == context.principal:
            return fail(call, f"{decided.by} asked for the run and may not approve its calls", Forbidden.code)
        if decided.arguments is not None:
            try:
                self._check_edit(decided.arguments, decided.covers, digest, context.call)
            except InvalidInput as error:
                return fail(call, f"the answer of {decided.by} is not allowed: {error}", Forbidden.code)
            call = structs.replace(call, arguments=decided.arguments)
        return await self._pass_on(call, context)

    def _check_edit(self, arguments: str, covers: str, digest: str, asked: ToolCall) -> None:
        from quorate.tools.edits import check_edit, get_edit_digest  # reads JSON strictly, which most runs never need

        if covers != get_edit_digest(digest, arguments):
            raise InvalidInput("it does not cover its edited arguments")
        check_edit(asked.arguments, arguments, self._editable)

    async def find_outcome(self, call: ToolCall, context: RunContext[object]) -> Found:
        """Ask what became of a call; that needs nobody's approval."""
        return await find_outcome(self.inner, call, context)

    async def _pass_on(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Pass a call on; where a guard inside asks, its answer may not change what this one has let through."""
        try:
            return await self.inner.call(call, context)
        except Waiting as held:
            if held.context.get("editable"):
                held.context = {**held.context, "editable": ()}
            raise

    def _describe_change(self) -> str:
        under = f" under policy `{self.policy}`" if self.policy else ""
        return (
            f"it needs another approval{under}, and its arguments are no longer those that were asked about: "
            "they were changed on the way, by an approver or a toolset around this one"
        )


def get_call_digest(run: str, key: str, call: ToolCall, *, policy: str = "") -> str:
    """Return SHA-256 over a run, a step, the exact call and the policy's version: what an approval is bound to."""
    return hashlib.sha256(encode((run, key, call.name, call.arguments, policy))).hexdigest()


def _list_arguments(specs: Sequence[ToolSpec]) -> set[str]:
    return {str(name) for spec in specs for name in cast("dict[str, object]", spec.parameters.get("properties", {}))}
