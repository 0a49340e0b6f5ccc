"""What can be done with runs while everything is open, and what keeps them going?"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING

from msgspec import structs

from quorate.agent.agent import AnyAgent, Task, build_result
from quorate.agent.attempt import attempt
from quorate.agent.history import build_conversation, load_history
from quorate.agent.offload import Offloaded
from quorate.agent.replay import replay
from quorate.agent.result import RunResult
from quorate.agent.run import PAYER, Run, RunOptions
from quorate.agent.traced import Traced, TracedModel
from quorate.catalog.load import Catalog
from quorate.clock import Clock
from quorate.errors import Conflict, Fenced, InvalidInput, NotFound, UnknownName
from quorate.events import ENDINGS, AnyEvent, CancelRequested, Event, RunSummary, RunWaiting, Status, summarize
from quorate.ids import check_id
from quorate.messages import Message, build_user_message
from quorate.ports import Log, RunOrder, Store, Toolset
from quorate.runtime.accept import Acceptance, Acceptor, Order
from quorate.runtime.acts import noted
from quorate.runtime.control import append_control, build_cancel, end_resting, park, read_run
from quorate.runtime.elsewhere import ElsewhereModel, build_elsewhere, find_elsewhere
from quorate.runtime.failures import check_failed
from quorate.runtime.handle import Items, RunHandle
from quorate.runtime.hiding import hide_secrets
from quorate.runtime.owner import Owner
from quorate.runtime.questions import RESTING, OpenQuestion, build_answer, build_input, read_questions
from quorate.settings import Settings, cap_limits
from quorate.specs import Limits
from quorate.state.patience import PatientLog
from quorate.state.services import RunServices
from quorate.telemetry.place import find_run_place, work_in
from quorate.tools.define import AnyTool

if TYPE_CHECKING:
    from quorate.council.signing import Seal
    from quorate.models.gateway import Gateway
    from quorate.orchestration.workflow.load import Definitions
    from quorate.runtime.courier import Courier
    from quorate.runtime.quotas import Quotas
    from quorate.runtime.watching import Watching
    from quorate.state.artifacts import ArtifactStore
    from quorate.state.audit import AuditTrail
    from quorate.state.scopes import StateStore
    from quorate.state.sessions import SessionStore

FOLLOW_S = 0.2
"""How often the log of a run in another process is looked at."""


class Runtime:
    """Everything that is open: the store, the catalog, the tools, and the runs under way."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        tools: Mapping[str, AnyTool],
        find_agent: Callable[[str, str | None], AnyAgent],
        store: Store,
        clock: Clock,
        group: asyncio.TaskGroup,
        tenant: str = "default",
        gateway: Gateway | None = None,
        courier: Courier | None = None,
    ) -> None:
        self.settings = settings
        self.catalog = catalog
        self.tools = tools
        """The built-in tools by name."""
        self.store = store
        """What the database keeps, as far as whose runtime this is may read it."""
        self.whole = store
        """Everything that the database keeps, for what serves all tenants."""
        self.log: Log = PatientLog(store.log, clock=clock, max_wait_s=settings.worker.patience_s)
        """The record of runs; while it cannot be reached, it is waited for."""
        self.find_agent = find_agent
        """Put an agent of the catalog together, by its name and the name of a model."""
        self.given: Mapping[str, AnyAgent] = {}
        """Agents that whoever opened the runtime gave it as objects, by name."""
        self.find_definitions: Callable[[], Definitions | None] = lambda: None
        """Find the workflows and teams there are; they are read when they are first wanted."""
        self.watching: Watching | None = None
        """What shows traces and counts of what happens here; there is none where nobody wants them."""
        self.gateway = gateway
        """The models there are by name, and the limits, budgets and caches before them."""
        self.courier = courier
        """What tells other processes at once what happens here, and us what happens there; none without a bus."""
        self.clock = clock
        self.tenant = tenant
        """Whose runs these are: those of others are absent."""
        self.payer = ""
        """Whose quotas below the tenant's what is submitted here counts in, as `project/key`."""
        self.quotas: Quotas | None = None
        """What bounds what a tenant, a project and a key may use; nothing does where there is none."""
        self.seal: Seal | None = None
        """What vouches for decisions; nothing does where there is no secret."""
        self.owner = Owner(store.leases, ttl_s=settings.worker.lease_s)
        """This process as an owner of runs."""
        self.hands_over = False
        """Whether any worker may go on at once with what is submitted here and left."""
        self._group = group
        self._live: dict[tuple[str, str], RunHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _acceptor(self) -> Acceptor:
        return Acceptor(
            self.log, self.store.values, clock=self.clock, tenant=self.tenant, sessions=lambda: self.sessions
        )

    @cached_property
    def sessions(self) -> SessionStore:
        """Conversations over several runs."""
        from quorate.state.sessions import SessionStore

        return SessionStore(self.store.values, self.log, clock=self.clock)

    @cached_property
    def state(self) -> StateStore:
        """Stored values by scope."""
        from quorate.state.scopes import StateStore

        return StateStore(self.store.values, clock=self.clock)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Bytes that are kept beside the log."""
        from quorate.state.artifacts import ArtifactStore, read_keys

        chosen = self.settings.artifacts
        keys = read_keys(chosen.keys.reveal()) if chosen.keys is not None else None
        return ArtifactStore(
            self.store.values, self.store.blobs, clock=self.clock, keys=keys, max_bytes=chosen.max_mb * 1_000_000
        )

    @cached_property
    def audit(self) -> AuditTrail:
        """Who did what, and what was refused."""
        from quorate.state.audit import AuditTrail

        secrets = self.settings.list_secrets()
        return AuditTrail(self.store.values, clock=self.clock, tenant=self.tenant, secrets=secrets)

    async def submit(
        self,
        task: Task,
        *,
        agent: str | AnyAgent | None = None,
        model: str | None = None,
        session: str | None = None,
        limits: Limits | None = None,
        deps: object = None,
        history: Sequence[Message] = (),
        principal: str = "local",
        idempotency_key: str | None = None,
        start: bool = True,
        labels: Mapping[str, str] | None = None,
        trace: str | None = None,
    ) -> RunHandle:
        """Accept a task; once this returns, the run is recorded.

        Args:
            task: What to do.
            agent: Who does it: a name from the catalog, or an agent; found by the task's words when not given. What
                is queued may be for an agent that only workers of the fleet know.
            model: Instead of the agent's own, such as `openai:gpt-5.2` or `playbook`.
            session: The session it belongs to: what was said there before is known.
            limits: Instead of the agent's own.
            deps: Whatever the agent's tools need.
            history: The conversation before, when it is not a session's.
            principal: Who asks for it.
            idempotency_key: The same key and the same request are the same run, however often it is submitted.
            start: Whether this process works on it; otherwise it is queued for a worker.
            labels: Facts to find the run by; they do not count for whether two submissions are the same.
            trace: The W3C `traceparent` of whoever asks. When not given, that of the step that asks, where traces are
                shown.

        Raises:
            UnknownName: There is no such agent or model.
            InvalidInput: No agent is for such a task, or a worker could not do it.
            Conflict: The idempotency key was used for another request, or the session takes no more runs.
            Forbidden: The tenant is suspended.
            RateLimited: As many runs are under way as there may be at once.
        """
        message, marks = build_user_message(task), {**(labels or {}), **({"model": model} if model else {})}
        named = agent if agent is None or isinstance(agent, str) else agent.name
        if agent is None:
            route = self.catalog.route(message.text)
            agent, marks = route.agent, {**marks, "route.agent": route.agent, "route.reason": route.reason}
        chosen = await self._choose(agent, model, start=start) if isinstance(agent, str) else agent
        marks.pop(PAYER, None)  # said by a credential alone
        if self.payer:
            marks[PAYER] = self.payer
        order = Order(
            message=message,
            agent=named,
            model=model,
            session=session,
            limits=limits,
            history=tuple(history),
            principal=principal,
            idempotency_key=idempotency_key,
            labels=marks,
            trace=self._find_trace() if trace is None else trace,
        )
        bounded = cap_limits(limits or chosen.limits, self.settings.limits)
        if not start:
            self._check_queued(chosen, model=model, deps=deps)
        run_id = ""
        try:
            about = f"agent/{chosen.name}"
            async with self._noted("run.submit", by=principal, object=about) as facts, self._giving_slots() as admit:
                accepted = await self._acceptor.accept(order, bounded, admit=admit)
                run_id = facts["run"] = accepted.options.run_id or ""
                if accepted.is_known:
                    return await self._find_known(run_id, chosen, deps=deps, start=start)
                if not start:
                    return await self._enqueue(order, chosen, accepted)
                return await self._begin(order, chosen, accepted, deps=deps)
        finally:
            await self._work_on(run_id)

    @asynccontextmanager
    async def _giving_slots(self) -> AsyncGenerator[Callable[[str], Awaitable[None]]]:
        """Begin a run in the block, which gives it a place if there is one; it keeps it until it ends or rests."""
        quotas, taken = self.quotas, dict[str, int]()

        async def admit(run_id: str) -> None:
            if quotas is not None:
                taken[run_id] = await quotas.take_slot(self.tenant, run_id, payer=self.payer)

        try:
            yield admit
        except (Conflict, InvalidInput, NotFound):  # of other failures nobody knows whether it is recorded
            for run_id, turn in taken.items():
                if quotas is not None and turn and not await self.log.last(run_id):
                    await quotas.slots.free(self.tenant, run_id, turn)
            raise

    async def _choose(self, name: str, model: str | None, *, start: bool) -> AnyAgent:
        """Find who does a task by name; what a worker does may be for an agent that cannot be opened here."""
        try:
            return self.find_agent(name, model)
        except UnknownName as error:
            if start or (error.context.get("what"), error.context.get("name")) != ("agent", name):
                raise
            return await find_elsewhere(self.store, name, known=(*self.catalog.names(), *self.given))

    async def _begin(self, order: Order, chosen: AnyAgent, accepted: Acceptance, *, deps: object) -> RunHandle:
        options = await self._complete(accepted.options)
        run = chosen.open_run(order.message, deps=deps, history=accepted.history, options=options)
        run.handed_over = self.hands_over
        try:
            return await self._record(run, chosen)
        except Fenced:  # somebody with the same key was quicker
            return await self.attach(run.info.run, agent=chosen, deps=deps)

    async def _find_known(self, run_id: str, chosen: AnyAgent, *, deps: object, start: bool) -> RunHandle:
        """Find the run of an earlier submission; one that nobody has begun since is begun where that is wanted."""
        summary = await self.show(run_id)
        if start and summary.status == "queued":
            with suppress(Conflict):  # somebody was quicker
                return await self._reopen(run_id, agent=chosen, deps=deps, expected=summary.events)
        return await self.attach(run_id, agent=chosen, deps=deps)

    async def _record(self, run: Run, agent: AnyAgent) -> RunHandle:
        """Record the beginning of an attempt, whose handle then begins to work on it."""
        try:
            await run.journal.commit()
        except asyncio.CancelledError:
            self._open(run, agent).begin()  # it may be recorded all the same, and is then ours to work on
            raise
        except BaseException:
            run.scope.close()
            raise
        return self._open(run, agent)

    async def resume(
        self, run_id: str, *, agent: AnyAgent | None = None, deps: object = None, by: str = "local"
    ) -> RunHandle:
        """Go on with a run that rests or whose process died; no recorded step is made again.

        Args:
            run_id: Which run.
            agent: The agent itself, when it is not one of the catalog.
            deps: Whatever the agent's tools need.
            by: Who wants it.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended already.
        """
        try:
            async with self._noted("run.resume", by=by, object=f"run/{run_id}"):
                return await self._reopen(run_id, agent=agent, deps=deps)
        finally:
            await self._work_on(run_id)

    async def _reopen(
        self, run_id: str, *, agent: AnyAgent | None = None, deps: object = None, expected: int | None = None
    ) -> RunHandle:
        created, events = await read_run(self.log, run_id, tenant=self.tenant)
        _check_open(events)
        chosen = agent or self.find_agent(created.agent, created.labels.get("model"))
        if self.quotas is not None:
            payer, seq = created.labels.get(PAYER, ""), events[-1].seq
            if expected is None:
                await self.quotas.take_slot(self.tenant, run_id, payer=payer, seq=seq)
            else:  # it goes on by itself: nobody is there to be told to try again
                await self.quotas.note_run(self.tenant, run_id, payer=payer, seq=seq)
        options = await self._complete(RunOptions(tenant=self.tenant))
        run = await chosen.open_resumed(run_id, deps=deps, options=options, expected=expected)
        _check_open(run.journal.events)  # it is read anew
        run.handed_over = expected is not None  # what one worker took, any other may go on with
        return await self._record(run, chosen)

    async def take(self, summary: RunSummary, *, is_ours: bool = False) -> RunHandle | None:
        """Take a run that nobody works on; `None` when somebody was quicker, or it is put aside.

        Whoever leaves it again hands it over: any worker may go on with it at once. A run under which worker after
        worker died is not given to the next one: it rests, `parked`, with its story.

        Args:
            summary: The run as it was found: when anything was recorded since, somebody was quicker.
            is_ours: Whether its record broke off under this very process, which then did not die of it.

        Raises:
            Forbidden: Its tenant is suspended: it rests until that is resumed.
            Unauthenticated: Its tenant is gone.
            UnknownName: Its agent is not in this catalog.
            NotFound: What its conversation goes on from is gone.
        """
        live = self._live.get((summary.tenant, summary.run))
        is_answered = summary.status == "queued"  # so that its rest is recorded, though its attempt may be put away yet
        if live is not None and live.run is not None and not (is_answered and live.is_at_rest):
            return None
        crashes = summary.crashes + (summary.status == "running")
        if not is_ours:  # what is under way goes on
            await self.check_tenant(summary.tenant)
        try:
            if crashes < self.settings.worker.max_crashes or is_ours:
                handle = await self.for_tenant(summary.tenant)._reopen(summary.run, expected=summary.events)
                handle.begin()
                return handle
            _, events = await read_run(self.log, summary.run, tenant=summary.tenant)
            if len(events) == summary.events:
                note = f"{crashes} attempts in a row ended without saying so: whoever worked on it died."
                await park(self.log, events, clock=self.clock, note=note)
        except Conflict:
            pass
        except NotFound as gone:
            if gone.context.get("run") != summary.run:
                raise
        return None

    async def check_tenant(self, tenant: str) -> None:
        """Return if a tenant may work.

        Raises:
            Forbidden: It is suspended.
            Unauthenticated: It is gone.
        """
        if self.quotas is not None:
            await self.quotas.check(tenant)

    async def attach(self, run_id: str, *, agent: AnyAgent | None = None, deps: object = None) -> RunHandle:
        """Return the handle of a run, whichever process works on it.

        Args:
            run_id: Which run.
            agent: The agent itself, when it is not one of the catalog.
            deps: Whatever its instructions need.

        Raises:
            NotFound: There is no such run.
        """
        handle = await self._find_handle(run_id, agent=agent, deps=deps)
        handle.begin()
        return handle

    async def _find_handle(self, run_id: str, *, agent: AnyAgent | None = None, deps: object = None) -> RunHandle:
        place = (self.tenant, run_id)
        if place in self._live:
            return self._live[place]
        created, known = await read_run(self.log, run_id, tenant=self.tenant)
        history = list[Message]()
        if created.previous:
            with suppress(NotFound):  # the run can be watched all the same
                history = await load_history(self.log, created)
        if place in self._live:  # somebody attached or began meanwhile
            return self._live[place]

        def build(events: Sequence[AnyEvent]) -> RunResult[object]:
            check_failed(events)
            chosen = agent or self._find_reader(created.agent, created.labels.get("model"))
            run = chosen.open_recorded(created, events or known, deps=deps)
            run.scope.close()
            run.messages = [*history, *build_conversation(events or known)]
            return build_result(run, chosen.output_type)

        def cancel(reason: str) -> None:
            self._spawn(self._cancel_followed(run_id, reason))

        def start(handle: RunHandle) -> None:
            courier = self.courier
            if courier is None:
                self._drive(handle, self.follow(run_id))
            else:
                self._drive(handle, courier.follow(self, run_id, wants_text=lambda: handle.is_watched))

        return RunHandle(run_id, created.agent, build=build, cancel=cancel, start=start)

    def _find_reader(self, name: str, model: str | None) -> AnyAgent:
        """Find what reads the answer of a run; as text, where its agent cannot be opened here."""
        for chosen in dict.fromkeys((model, None)):
            with suppress(UnknownName, InvalidInput):  # or it needs a model that is not there
                return self.find_agent(name, chosen)
        return build_elsewhere(name)

    async def _cancel_followed(self, run_id: str, reason: str) -> None:
        try:
            await self.cancel(run_id, reason=reason)
        except (Conflict, NotFound):
            pass  # there is nothing left to stop
        except Exception as error:  # nobody waits for it, and the other runs of the group must not end with it
            facts = {"message": f"run {run_id} could not be cancelled", "exception": error}
            asyncio.get_running_loop().call_exception_handler(facts)

    async def replay(self, run_id: str, *, agent: AnyAgent | None = None) -> RunResult[object]:
        """Drive a run again from its log alone; see `quorate.agent.replay`.

        Raises:
            NotFound: There is no such run.
            Nondeterministic: It comes to another end.
        """
        created, events = await read_run(self.log, run_id, tenant=self.tenant)
        history = await load_history(self.log, created) if created.previous else ()
        chosen = agent or self.find_agent(created.agent, created.labels.get("model"))
        return await replay(chosen, events, history=history)

    async def show(self, run_id: str) -> RunSummary:
        """Return the one-line view of a run.

        Raises:
            NotFound: There is no such run.
        """
        _, events = await read_run(self.log, run_id, tenant=self.tenant)
        summary = summarize(None, events)
        assert summary is not None
        return summary

    async def list_runs(
        self,
        *,
        status: Status | None = None,
        agent: str | None = None,
        session: str | None = None,
        order: RunOrder = "newest",
        before: str | None = None,
        limit: int = 50,
    ) -> list[RunSummary]:
        """List runs; see `quorate.ports.Log`."""
        return await self.log.list_runs(
            status=status, agent=agent, session=session, tenant=self.tenant, order=order, before=before, limit=limit
        )

    async def follow(self, run_id: str, *, after: int = 0) -> AsyncGenerator[AnyEvent]:
        """Yield a run's events after a position, whichever process works on it, until it ends or rests.

        A run that was handed over does not rest: the next worker goes on with it.

        Raises:
            NotFound: There is no such run, or it was deleted.
        """
        if self.courier is not None:
            async with aclosing(self.courier.follow(self, run_id, after=after, wants_text=lambda: False)) as items:
                async for item in items:
                    if isinstance(item, Event):
                        yield item
            return
        _, events = await read_run(self.log, run_id, tenant=self.tenant)
        last: AnyEvent = events[-1]
        events = events[after:]
        while True:
            for last in events:
                yield last
            is_handed_over = isinstance(last, RunWaiting) and last.reason == "interrupted" and last.wakes is not None
            if isinstance(last, (*ENDINGS, RunWaiting)) and not is_handed_over:
                return
            await asyncio.sleep(FOLLOW_S)
            seq = await self.log.last(run_id)
            if seq < last.seq:
                raise NotFound(f"Run {run_id!r} was deleted while it was followed.", run=run_id)
            events = await self.log.read(run_id, after=last.seq) if seq > last.seq else []

    async def cancel(self, run_id: str, *, reason: str = "", by: str = "local") -> None:
        """Stop a run, wherever it is worked on; one that rests, or whose process died, is ended here.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended already.
        """
        async with self._noted("run.cancel", by=by, object=f"run/{run_id}", reason=reason):
            live = self._live.get((self.tenant, run_id))
            if live is not None and live.run is not None and not live.is_at_rest:
                live.run.record(CancelRequested, "cancel", reason=reason, by=by)
                live.run.cancel(reason)
                return
            build = partial(build_cancel, now=self.clock.now(), reason=reason, by=by)
            events = await append_control(self.log, run_id, build, tenant=self.tenant)
            before = summarize(None, events[:-1])
            if before is not None and (before.status in RESTING or await self._is_abandoned(before)):
                await end_resting(self.log, events, clock=self.clock, reason=reason or "The run was cancelled.")

    async def _is_abandoned(self, summary: RunSummary) -> bool:
        """Whether nobody works on a run that runs by its log; what never had an owner may be anybody's."""
        if summary.status != "running" or not summary.owner:
            return False
        is_ours = summary.owner == self.owner.id  # and no handle of ours works on it
        return is_ours or await self.owner.is_away(summary.owner, now=self.clock.now())

    async def decide(
        self, run_id: str, key: str, *, approved: bool, by: str, reason: str = "", arguments: str | None = None
    ) -> None:
        """Answer whether a call may be made; the answer is bound to the exact call that was asked about.

        Raises:
            NotFound: There is no such run, or it asked nothing under `key`.
            Conflict: It was answered already, or too late.
            Forbidden: Whoever asked for the run may not answer.
            InvalidInput: The arguments differ where they may not.
        """
        build = partial(
            build_answer,
            key=key,
            approved=approved,
            by=by,
            reason=reason,
            arguments=arguments,
            now=self.clock.now(),
        )
        action = "approval.approve" if approved else "approval.reject"
        async with self._noted(action, by=by, object=f"run/{run_id}/{key}", reason=reason):
            await append_control(self.log, run_id, build, tenant=self.tenant)

    async def answer(self, run_id: str, key: str, *, text: str, by: str) -> None:
        """Tell a run what it asked a person for.

        Raises:
            NotFound: There is no such run, or it asked nothing under `key`.
            Conflict: It was answered already, or too late.
            InvalidInput: The answer is none of the choices.
        """
        build = partial(build_input, key=key, text=text, by=by, now=self.clock.now())
        async with self._noted("input.give", by=by, object=f"run/{run_id}/{key}"):
            await append_control(self.log, run_id, build, tenant=self.tenant)

    async def questions(self, *, limit: int = 100) -> list[OpenQuestion]:
        """List what the runs that rest ask of people, those of the oldest run first."""
        return await read_questions(self.log, tenant=self.tenant, limit=limit)

    def for_tenant(self, tenant: str, *, payer: str = "") -> Runtime:
        """Return the same, for the runs of another tenant.

        Args:
            tenant: Whose runs.
            payer: Whose quotas below the tenant's what is submitted counts in, as `project/key`.

        Raises:
            InvalidInput: It is no tenant's id.
        """
        bind = self.store.bind
        if tenant == self.tenant and payer == self.payer and bind is None:
            return self
        other = copy.copy(self)
        other.payer = payer
        if tenant != self.tenant:
            other.tenant = check_id(tenant, "tenant")
            other.__dict__.pop("audit", None)
        elif bind is None:
            other.__dict__["audit"] = self.audit  # the same trail, which knows where it ends
        if bind is not None:
            other._read_as(bind(self.whole, tenant))
        return other

    def _read_as(self, store: Store) -> None:
        """Read what another store lets us read; what was opened over the one before is opened anew."""
        self.store = store
        self.log = PatientLog(store.log, clock=self.clock, max_wait_s=self.settings.worker.patience_s)
        for name in ("sessions", "state", "artifacts", "audit"):
            self.__dict__.pop(name, None)

    async def drain(self, *, timeout_s: float) -> int:
        """Wait for the runs that this process works on, those of all tenants, and return how many still go on then."""
        tasks = [handle.task for handle in self._live.values() if handle.run is not None and handle.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        return sum(not task.done() for task in tasks)

    def release(self) -> None:
        """Let go of everything under way: runs rest and can be resumed; those that a worker took are handed over."""
        for task in list(self._tasks):
            task.cancel()
        self.owner.rest()

    def _noted(
        self, action: str, *, by: str, object: str, reason: str = ""
    ) -> AbstractAsyncContextManager[dict[str, str]]:
        most = self.settings.worker.patience_s
        return noted(self.audit, action, principal=by, object=object, reason=reason, clock=self.clock, max_wait_s=most)

    def _check_queued(self, agent: AnyAgent, *, model: str | None, deps: object) -> None:
        if deps is not None:
            raise InvalidInput("`deps` live in this process: a run that a worker does cannot have them.")
        if isinstance(agent.model, ElsewhereModel):
            return
        try:
            self.find_agent(agent.name, model)
        except UnknownName as error:
            raise InvalidInput(f"A worker finds agents by name: {error.message}") from error

    async def _enqueue(self, order: Order, agent: AnyAgent, accepted: Acceptance) -> RunHandle:
        """Record a run without beginning it: the first worker that looks takes it."""
        options = structs.replace(accepted.options, log=self.log, clock=self.clock)
        run = agent.open_run(order.message, history=accepted.history, options=options, queued=True)
        try:
            await run.journal.commit()
        except Fenced:  # somebody with the same key was quicker
            pass
        finally:
            run.scope.close()
        # Ten thousand queued runs are not looked at until somebody wants to know.
        return await self._find_handle(run.info.run, agent=agent)

    async def begin(self) -> None:
        """Show that this process is alive, from now on; done by itself with the first run.

        Raises:
            Unavailable: The store cannot be reached.
        """
        await self.owner.begin(self._group)

    async def _complete(self, options: RunOptions) -> RunOptions:
        """Add what every attempt of this process has."""
        await self.begin()
        return structs.replace(
            options,
            log=self.log,
            clock=self.clock,
            owner=self.owner.id,
            services=RunServices(
                state=lambda: self.state, artifacts=lambda: self.artifacts, values=lambda: self.store.values
            ),
            wrap=self._wrap,
            wrap_model=TracedModel if self._is_traced else None,
        )

    @property
    def _is_traced(self) -> bool:
        """Whether somebody wants to know which run and which step something belongs to."""
        shows_traces = self.watching is not None and self.watching.shows_traces
        return shows_traces or self.settings.log_format == "json"

    def _find_trace(self) -> str:
        return "" if self.watching is None else self.watching.find_trace()

    def _wrap(self, tools: Toolset) -> Toolset:
        """Put around the tools of every run what a runtime does for them."""
        offloaded = Offloaded(hide_secrets(tools, self.settings), above_bytes=self.settings.artifacts.above_kb << 10)
        if self.watching is not None and self.watching.shows_traces:
            return self.watching.wrap(offloaded)
        return Traced(offloaded) if self._is_traced else offloaded

    def _open(self, run: Run, agent: AnyAgent) -> RunHandle:
        run_id = run.info.run

        def build(_: Sequence[AnyEvent]) -> RunResult[object]:
            return build_result(run, agent.output_type)

        before = self._live.get((self.tenant, run_id))
        if before is not None and before.run is not None:
            before.run.fence()

        def start(handle: RunHandle) -> None:
            self._drive(handle, attempt(run), run)

        handle = RunHandle(run_id, agent.name, build=build, cancel=run.cancel, run=run, start=start)
        if self.hands_over or not run.handed_over:  # whoever submits a run may want to see its first words
            handle.keep()
        if self.courier is not None:
            self.courier.show(handle)
        self._live[self.tenant, run_id] = handle
        return handle

    async def _work_on(self, run_id: str) -> None:
        """Begin to work on a run whose attempt was recorded, as whoever asked for it is about to hear of it.

        Nobody can watch it before, so what it says would be kept for somebody who may only wait for its end.
        """
        handle = self._live.get((self.tenant, run_id))
        if handle is not None:
            handle.begin()
            await asyncio.sleep(0)  # a task that is cancelled before its first step would not say that the run rests

    def _drive(self, handle: RunHandle, items: Items, run: Run | None = None) -> RunHandle:
        self._live.setdefault((self.tenant, handle.id), handle)  # who follows does not hide who works on it
        work = handle.drive(items)
        if run is not None and self._is_traced:
            work = work_in(find_run_place(run.info.run, run.info.trace), work)
        handle.task = self._spawn(work)
        handle.task.add_done_callback(partial(self._forget, handle))
        return handle

    def _forget(self, handle: RunHandle, _: asyncio.Task[None]) -> None:
        """Let whoever waits go on, once nobody finds the run here any more; also when it was released at once."""
        place = (self.tenant, handle.id)
        if self._live.get(place) is handle:
            del self._live[place]
        if handle.run is not None:
            handle.run.scope.close()
            if self.courier is not None:
                self.courier.hide(handle)
        handle.finish()

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Do something beside the block, until it is done or the runtime lets go of everything."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _check_open(events: Sequence[AnyEvent]) -> None:
    summary = summarize(None, events)
    if summary is not None and isinstance(events[-1], ENDINGS):
        run = summary.run
        raise Conflict(f"Run {run!r} has ended ({summary.status}): look at it with `quorate runs show {run}`.", run=run)
