"""Which concrete parts does a running Quorate consist of? The only place that reads settings and chooses."""

from __future__ import annotations

import asyncio
import copy
import hmac
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.agent.artifacts import artifact_tools
from quorate.catalog.anomaly_tools import anomaly_tools
from quorate.catalog.build import PLAYBOOK, build_agent
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.load import load_catalog
from quorate.catalog.tiers import find_model_class
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.council.memory_tools import HiveMemory
from quorate.council.registrar import DECIDER, read_decided
from quorate.errors import InvalidInput, QuorateError, Unavailable
from quorate.models.budgets.budgets import Budgets
from quorate.models.cache.key import LEAST_SECRET_BYTES
from quorate.models.cache.redis import RedisClient, RedisPlaces
from quorate.models.cache.rule import CacheStore
from quorate.models.cache.shared import Places, SharedCache, StoredPlaces, check_secret
from quorate.models.gateway import Gateway, GatewayParts
from quorate.models.layer import Layer
from quorate.models.ledger import Ledger
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.opening import open_limit_store
from quorate.models.observed import Listener
from quorate.models.plan import GatewayPlan, load_plan
from quorate.models.redis import open_redis
from quorate.ports import Model, Store
from quorate.runtime import Runtime
from quorate.runtime.keeping import open_secrets, read_secrets
from quorate.runtime.quotas import Quotas
from quorate.runtime.refusals import Refusals
from quorate.settings import Settings, load_settings
from quorate.settings.values import cap_limits
from quorate.specs import Limits
from quorate.telemetry.place import find_trace
from quorate.tools.builtin.shelf import Surroundings, build_shelf, find_no_trace
from quorate.tools.define import AnyTool
from quorate.tools.targets import ProbePolicy
from quorate.tools.workspace import Workspace, build_local_workspace

if TYPE_CHECKING:
    from quorate.council.decide import Backing
    from quorate.models.guards.guard import GuardFunction
    from quorate.orchestration.workflow.load import Definitions
    from quorate.orchestration.workflow.spec import Workflow
    from quorate.runtime.watching import Watching
    from quorate.state.audit import AuditTrail

AUTO = "auto"
TEMPLATES = Path(__file__).parent / "orchestration" / "templates"
"""Where the workflows are that come with Quorate."""


class Parts:
    """The parts that were chosen: which agents, tools and models there are, and how an agent is put together."""

    def __init__(self, settings: Settings, models: Mapping[str, Model], agents: Sequence[AnyAgent] = ()) -> None:
        self.settings = settings
        self.gateway: Gateway | None = None
        """What gives models by name, once it is open."""
        self.toolbox = build_toolbox(settings)
        directories = [Path(directory) for directory in settings.agents.directories]
        self.catalog = load_catalog(directories, tools=self.toolbox, may_replace=settings.agents.may_replace)
        self._models = dict(models)
        self._agents = {agent.name: agent for agent in agents}
        for name in self._agents:
            if name in self.catalog:
                raise InvalidInput(f"There is an agent file for {name!r} already: give your agent another name.")

    def find_agent(self, name: str, model: str | None = None) -> AnyAgent:
        """Find an agent that was given, or put one of the catalog together.

        Raises:
            UnknownName: There is no such agent or model provider.
            InvalidInput: The agent needs a model and there is none.
        """
        given = self._agents.get(name)
        if given is not None:
            return given
        if name not in self.catalog and name in (*self.definitions.workflows, *self.definitions.teams):
            return self._build_defined(name, model)
        if name == DECIDER and name not in self.catalog:
            return self._build_decider(model)
        definition = self.catalog.get(name)
        capped = cap_limits(definition.limits, self.settings.limits)
        return build_agent(
            structs.replace(definition, limits=capped),
            model=self._find_model(model or self._choose_by_class(definition)),
            toolbox=self.toolbox,
            agents=lambda other: self.find_agent(other, model),
        )

    def _choose_by_class(self, definition: AgentDefinition) -> str | None:
        """Choose the model that the settings name for an agent's class; one with a playbook does without, if wanted."""
        if definition.has_playbook and self.settings.model in (AUTO, PLAYBOOK):
            return None
        return getattr(self.settings.agents.models, find_model_class(definition)) or None

    def _build_decider(self, model: str | None) -> AnyAgent:
        from quorate.council.motion import build_decider

        limits = cap_limits(Limits(tool_calls=100_000), self.settings.limits)
        return build_decider(lambda other: self.find_agent(other, model), backing=self.backing, limits=limits)

    @cached_property
    def backing(self) -> Backing:
        """What vouches for decisions and tells trust, as the settings say."""
        from quorate.council.decide import Backing
        from quorate.council.earned import build_reader
        from quorate.council.signing import Seal

        chosen = self.settings.council
        read_weights = build_reader(self.settings.trust.build_rules())
        if chosen.secret is None:
            return Backing(read_weights=read_weights)
        former = () if chosen.former_secret is None else (bytes.fromhex(chosen.former_secret.reveal()),)
        seal = Seal(bytes.fromhex(chosen.secret.reveal()), former=former)
        return Backing(seal=seal, read_weights=read_weights)

    @cached_property
    def definitions(self) -> Definitions:
        """The workflows and teams there are: those of the settings' directories, and those that come with Quorate.

        One that comes with Quorate gives way to anything else of its name.

        Raises:
            InvalidFiles: One does not hold together; every fault is listed.
        """
        from quorate.orchestration.workflow.load import Definitions, load_definitions

        taken = (*self.catalog.names(), *self._agents)
        own = load_definitions(self.settings.agents.workflows, taken=taken)
        shipped = load_definitions([TEMPLATES]).workflows
        free = shipped.keys() - {*taken, *own.workflows, *own.teams}
        return Definitions(
            workflows={**{name: shipped[name] for name in sorted(free)}, **own.workflows}, teams=own.teams
        )

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """The workflows there are by name."""
        return self.definitions.workflows

    def list_agents(self) -> list[str]:
        """List what steps and teams may name: agents, workflows and teams."""
        return [*self.catalog.names(), *self._agents, *self.definitions.workflows, *self.definitions.teams]

    def _build_defined(self, name: str, model: str | None) -> AnyAgent:
        from quorate.orchestration.teams.build import build_team_agent
        from quorate.orchestration.workflow.build import FoundAgents, build_workflow

        agents = FoundAgents(self.list_agents(), lambda other: self.find_agent(other, model))

        def find_model(own: str) -> Model | str:
            return self._find_model(model or own or None)

        team = self.definitions.teams.get(name)
        if team is not None:
            return build_team_agent(
                team, agents=agents, tools=self.toolbox, find_model=find_model, backing=self.backing
            )
        return build_workflow(
            self.workflows[name],
            agents=agents,
            tools=self.toolbox,
            workflows=self.workflows,
            find_model=find_model,
            backing=self.backing,
        )

    def _find_model(self, name: str | None) -> Model | str:
        """Find a model by name; `auto` is the playbook, since a key alone is no wish to spend money."""
        chosen = name or self.settings.model
        if chosen in (PLAYBOOK, AUTO):
            return PLAYBOOK
        given = self._models.get(chosen)
        if given is not None:
            return given
        if self.gateway is None:
            raise Unavailable(
                f"No gateway is open to find the model {chosen!r} in: `async with open_runtime()` opens it."
            )
        return self.gateway.find_model(chosen)

    def with_place(self, folder: Path | None = None, *, models: Mapping[str, Model] | None = None) -> Parts:
        """Return the same, whose tools work in another folder, or with other models by name."""
        other = copy.copy(self)
        other.__dict__.pop("definitions", None)
        other._models = {**self._models, **(models or {})}
        if folder is not None:
            other.settings = structs.replace(self.settings, workspace=str(folder))
            other.toolbox = build_toolbox(other.settings)
        return other

    async def aclose(self) -> None:
        """Close the connections of the models that were given."""
        for model in self._models.values():
            if isinstance(model, Layer):
                await model.aclose()


def load_gateway_plan(settings: Settings) -> GatewayPlan:
    """Load the gateway file that the settings name, or the usual plan where they name none.

    Raises:
        InvalidFiles: The file does not hold together; every fault is listed with its line.
    """
    return load_plan(settings.gateway) if settings.gateway else GatewayPlan()


def build_toolbox(settings: Settings) -> Mapping[str, AnyTool]:
    """Build the built-in tools by name, bounded by what the settings allow; one is loaded when it is first wanted."""
    databases = settings.probe.databases

    def find_url(name: str) -> str | None:
        found = databases.get(name)
        return found.reveal() if found else None

    workspace = Workspace(settings.workspace) if settings.workspace else build_local_workspace(os.getcwd())
    surroundings = Surroundings(
        workspace=workspace,
        policy=ProbePolicy.operator(settings.probe.allow),
        trace=find_trace if settings.telemetry.shows_traces else find_no_trace,
        databases=tuple(databases),
        find_url=find_url,
    )
    hive = HiveMemory(retention=settings.memory.build_rules(), find_decision=read_decided)
    return build_shelf(surroundings, [*artifact_tools(), *anomaly_tools(workspace), *hive.tools])


def open_store(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> AbstractAsyncContextManager[Store]:
    """Open the database that the settings name: a file, or a server's.

    Raises:
        InvalidInput: It cannot be a database of ours, or a newer version of Quorate wrote it.
        Unavailable: It cannot be reached.
        MissingExtra: What speaks to that kind of database is not installed.
    """
    if settings.is_server:
        from quorate.state.backends.postgres import open_postgres_store

        return open_postgres_store(
            settings.build_database_url().reveal(),
            outbox=settings.keeps_notices,
            tenant_role=settings.database_tenant_role,
        )
    if settings.database_tenant_role:
        raise InvalidInput("`database_tenant_role` is for PostgreSQL, and the database is a file: take it out.")
    from quorate.state.backends.sqlite import open_sqlite_store

    return open_sqlite_store(settings.database, clock=clock, outbox=settings.keeps_notices)


async def open_blobs(settings: Settings, store: Store, stack: AsyncExitStack) -> Store:
    """Put artifacts where the settings say: in the database, in a directory, or in a bucket.

    Raises:
        InvalidInput: It is no place for them.
        Unavailable: It cannot be reached.
        MissingExtra: What speaks to that kind of place is not installed.
    """
    place = settings.artifacts.store
    if not place:
        return store
    if place.startswith("s3://"):
        from quorate.state.backends.s3 import open_s3_blobs

        return structs.replace(store, blobs=await stack.enter_async_context(open_s3_blobs(place)))
    from quorate.state.backends.files import open_file_blobs

    return structs.replace(store, blobs=await stack.enter_async_context(open_file_blobs(place)))


@asynccontextmanager
async def open_gateway(
    settings: Settings | None = None,
    *,
    plan: GatewayPlan | None = None,
    store: Store | None = None,
    guards: Mapping[str, GuardFunction] | None = None,
    listeners: Sequence[Listener] = (),
    trace: Callable[[], str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncGenerator[Gateway]:
    """Open the models that the settings' gateway file describes, with its limits, budgets and cache.

    `open_runtime` does so for its agents; this is for models without a runtime.

    Args:
        settings: Where the file and the keys are; found in the usual places when not given.
        plan: What to open instead of the file.
        store: What budgets, costs and shared caches are kept in; in this process alone when not given.
        guards: Guards of your own, by the names that the file calls them.
        listeners: Who hears of every call.
        trace: Gives the W3C `traceparent` that goes with requests to providers; empty for none.
        clock: Where time comes from.

    Raises:
        InvalidFiles: The gateway file does not hold together; every fault is listed with its line.
        InvalidInput: What it needs from outside is missing.
        MissingExtra: What speaks to a store that it names is not installed.
    """
    chosen = settings or load_settings()
    await read_secrets(chosen)
    plan = plan or load_gateway_plan(chosen)
    values = None if store is None else store.values
    async with AsyncExitStack() as stack:
        secret, answers = await _open_cache(chosen, plan, store, stack)
        parts = GatewayParts(
            limiter=await _open_limiter(chosen, plan, store, stack),
            budgets=Budgets(plan.budgets, values=values, ledger=Ledger(values, clock=clock), clock=clock),
            cache_store=answers,
            cache_secret=secret,
            guard_functions=guards or {},
            listeners=tuple(listeners),
            trace=trace,
        )
        gateway = Gateway(plan, credentials=chosen.find_credential, parts=parts, clock=clock)
        yield await stack.enter_async_context(gateway)


async def _open_limiter(
    settings: Settings, plan: GatewayPlan, store: Store | None, stack: AsyncExitStack
) -> Limiter | None:
    if not plan.limits:
        return None
    values = None if store is None else store.values
    place = open_limit_store(plan.limit_place, values=values, find=settings.find_credential)
    return Limiter(plan.limits, store=await stack.enter_async_context(place))


async def _open_cache(
    settings: Settings, plan: GatewayPlan, store: Store | None, stack: AsyncExitStack
) -> tuple[bytes | None, CacheStore | None]:
    """Open where answers are kept, and read the secret that seals them there."""
    rule = plan.cache
    if rule is None or rule.store == "memory":
        return None, None
    secret = read_secret(settings, rule.secret_env)
    if rule.store == "redis":
        url = settings.find_credential(rule.url_env)
        if not url:
            raise InvalidInput(f"Answers are to be kept in Redis or Valkey, and `{rule.url_env}` holds no address.")
        client = await stack.enter_async_context(open_redis(url))
        places: Places = RedisPlaces(cast("RedisClient", client))  # its own types say less than it keeps
    elif store is None:
        raise InvalidInput("`[cache]` of the gateway file is kept in the database, and none is open: pass a `store`.")
    else:
        places = StoredPlaces(store.values)
    entries, most = rule.max_entries, rule.max_entry_bytes
    # A changed plan sees no older answers.
    key = hmac.digest(secret, msgspec.json.encode(plan, order="sorted"), "sha256")
    return key, SharedCache(places, secret=secret, max_entries=entries, max_entry_bytes=most)


def read_secret(settings: Settings, name: str) -> bytes:
    """Read the secret of a shared cache.

    Raises:
        InvalidInput: It is missing, too short, too regular, or not in hexadecimal; its value is not shown.
    """
    try:
        return check_secret(bytes.fromhex(settings.find_credential(name) or ""))
    except (ValueError, InvalidInput) as error:
        raise InvalidInput(
            f"A shared cache needs a secret: set `{name}` to {LEAST_SECRET_BYTES} random bytes or more in hexadecimal, "
            "such as `openssl rand -hex 32` writes them."
        ) from error


@asynccontextmanager
async def open_runtime(
    settings: Settings | None = None,
    *,
    models: Mapping[str, Model] | None = None,
    agents: Sequence[AnyAgent] = (),
    guards: Mapping[str, GuardFunction] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    store: Store | None = None,
    counts: bool = False,
) -> AsyncGenerator[Runtime]:
    """Open everything that running agents takes, and close it again at the end of the block.

    Runs that are still under way then are left to rest; `resume` goes on with them.

    Args:
        settings: What to open; found in the usual places when not given.
        models: Models by name, beside those that settings and providers give; for tests and for your own.
        agents: Agents of your own beside those of the catalog, so that their runs are found, resumed and taken over
            by name.
        guards: Guards of your own, by the names that the gateway file calls them.
        clock: Where time comes from.
        store: A store that is open already, instead of the one that the settings name.
        counts: Whether what happens is counted, also where the settings show it to nobody: for a server's `/metrics`.

    Raises:
        InvalidInput: The settings or agent files do not hold together; every fault is listed.
        Unavailable: The database cannot be opened.
    """
    chosen = settings or load_settings()
    parts, plan = Parts(chosen, models or {}, agents), load_gateway_plan(chosen)
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_secrets(chosen, clock=clock))
            if store is None:
                store = await stack.enter_async_context(open_store(chosen, clock=clock))
            store = await open_blobs(chosen, store, stack)
            quotas = Quotas(store, clock=clock, patience_s=chosen.worker.patience_s)
            store = structs.replace(store, blobs=quotas.blobs)
            courier = None
            if chosen.bus.url:
                from quorate.runtime.fleet import open_told

                store, courier = await stack.enter_async_context(open_told(chosen, store))
            watching = None
            if counts or chosen.telemetry.is_on:
                from quorate.runtime.watching import open_watching

                store, watching = await stack.enter_async_context(open_watching(chosen, store))
                if courier is not None:
                    watching.look_at(courier)
            stack.push_async_callback(parts.aclose)
            parts.gateway = await stack.enter_async_context(
                open_gateway(
                    chosen,
                    plan=plan,
                    store=store,
                    guards=guards,
                    listeners=() if watching is None else (watching.note_call,),
                    trace=None if watching is None else watching.find_header,
                    clock=clock,
                )
            )
            if chosen.bus.url and (plan.cache or plan.semantic):
                from quorate.runtime.cache_news import open_cache_news  # most runtimes have no cache or no bus

                await stack.enter_async_context(open_cache_news(chosen, parts.gateway.caches))
            runtime: Runtime | None = None

            async def end_lease() -> None:
                if runtime is not None:
                    with suppress(QuorateError):  # it runs out by itself
                        await runtime.owner.end()

            stack.push_async_callback(end_lease)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            quotas.begin(group, parts.gateway.parts.budgets)
            stack.push_async_callback(quotas.aclose)
            runtime = Runtime(
                settings=chosen,
                catalog=parts.catalog,
                tools=parts.toolbox,
                find_agent=parts.find_agent,
                store=store,
                clock=clock,
                group=group,
                gateway=parts.gateway,
                courier=courier,
            )
            runtime.find_definitions = lambda: parts.definitions
            runtime.seal, runtime.watching, runtime.quotas = parts.backing.seal, watching, quotas
            if watching is not None:
                quotas.counted = partial(_count_refusal, watching)
            quotas.refusals = Refusals(partial(_open_trail, runtime), spawn=quotas.spawn)
            runtime.given = {agent.name: agent for agent in agents}
            stack.callback(runtime.release)
            yield runtime
    except BaseExceptionGroup as several:
        # Each task group wraps what the block itself raised; whoever wrote the block wants it as it was.
        raise _unwrap(several) from None


def _count_refusal(watching: Watching, quota: str) -> None:
    watching.count("quota_refusals", quota=quota)


def _open_trail(runtime: Runtime, tenant: str) -> AuditTrail:
    return runtime.for_tenant(tenant).audit


def _unwrap(error: BaseException) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    first, *others = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return _unwrap(first) if not others else cast("BaseExceptionGroup[BaseException]", error)
