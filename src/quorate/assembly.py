"""Which concrete parts does a running Quorate consist of? The only place that reads settings and chooses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.agent.artifacts import artifact_tools
from quorate.catalog.build import PLAYBOOK, build_agent
from quorate.catalog.load import load_catalog
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.errors import InvalidInput, QuorateError
from quorate.models.gateway import build_model
from quorate.models.retry import Retrying
from quorate.ports import Model, Store
from quorate.runtime import Runtime
from quorate.settings import Settings, load_settings
from quorate.settings.values import cap_limits
from quorate.tools.builtin.code import code_tools
from quorate.tools.builtin.files import file_tools
from quorate.tools.builtin.host import host_tools
from quorate.tools.builtin.infra import infra_tools
from quorate.tools.builtin.logs import log_tools
from quorate.tools.builtin.net import net_tools
from quorate.tools.define import AnyTool
from quorate.tools.targets import ProbePolicy
from quorate.tools.workspace import Workspace, build_local_workspace

AUTO = "auto"


class Parts:
    """The parts that were chosen: which agents, tools and models there are, and how an agent is put together."""

    def __init__(self, settings: Settings, models: Mapping[str, Model], agents: Sequence[AnyAgent] = ()) -> None:
        self.settings = settings
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
        definition = self.catalog.get(name)
        capped = cap_limits(definition.limits, self.settings.limits)
        return build_agent(
            structs.replace(definition, limits=capped),
            model=self._find_model(model),
            toolbox=self.toolbox,
            agents=lambda other: self.find_agent(other, model),
        )

    def _find_model(self, name: str | None) -> Model | str:
        """Find a model by name; `auto` is the playbook, since a key alone is no wish to spend money."""
        chosen = name or self.settings.model
        if chosen in (PLAYBOOK, AUTO):
            return PLAYBOOK
        if chosen not in self._models:
            self._models[chosen] = build_model(chosen, credentials=self.settings.find_credential)
        return self._models[chosen]

    async def aclose(self) -> None:
        """Close the models' connections."""
        for model in self._models.values():
            if isinstance(model, Retrying):
                await model.aclose()


def build_toolbox(settings: Settings) -> dict[str, AnyTool]:
    """Build the built-in tools by name, bounded by what the settings allow."""
    workspace = Workspace(settings.workspace) if settings.workspace else build_local_workspace(os.getcwd())
    tools = [
        *net_tools(ProbePolicy.operator(settings.probe.allow)),
        *host_tools(),
        *log_tools(workspace),
        *file_tools(workspace),
        *infra_tools(workspace),
        *code_tools(workspace),
        *artifact_tools(),
    ]
    return {tool.name: tool for tool in tools}


def open_store(settings: Settings, *, clock: Clock = SYSTEM_CLOCK) -> AbstractAsyncContextManager[Store]:
    """Open the database that the settings name: a file, or a server's.

    Raises:
        InvalidInput: It cannot be a database of ours, or a newer version of Quorate wrote it.
        Unavailable: It cannot be reached.
        MissingExtra: What speaks to that kind of database is not installed.
    """
    if settings.is_server:
        from quorate.state.backends.postgres import open_postgres_store

        return open_postgres_store(settings.build_database_url().reveal())
    from quorate.state.backends.sqlite import open_sqlite_store

    return open_sqlite_store(settings.database, clock=clock)


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
async def open_runtime(
    settings: Settings | None = None,
    *,
    models: Mapping[str, Model] | None = None,
    agents: Sequence[AnyAgent] = (),
    clock: Clock = SYSTEM_CLOCK,
    store: Store | None = None,
) -> AsyncGenerator[Runtime]:
    """Open everything that running agents takes, and close it again at the end of the block.

    Runs that are still under way then are left to rest; `resume` goes on with them.

    Args:
        settings: What to open; found in the usual places when not given.
        models: Models by name, beside those that settings and providers give; for tests and for your own.
        agents: Agents of your own beside those of the catalog, so that their runs are found, resumed and taken over
            by name.
        clock: Where time comes from.
        store: A store that is open already, instead of the one that the settings name.

    Raises:
        InvalidInput: The settings or agent files do not hold together; every fault is listed.
        Unavailable: The database cannot be opened.
    """
    chosen = settings or load_settings()
    parts = Parts(chosen, models or {}, agents)
    try:
        async with AsyncExitStack() as stack:
            if store is None:
                store = await stack.enter_async_context(open_store(chosen, clock=clock))
            store = await open_blobs(chosen, store, stack)
            stack.push_async_callback(parts.aclose)
            runtime: Runtime | None = None

            async def end_lease() -> None:
                if runtime is not None:
                    with suppress(QuorateError):  # it runs out by itself
                        await runtime.owner.end()

            stack.push_async_callback(end_lease)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            runtime = Runtime(
                settings=chosen,
                catalog=parts.catalog,
                tools=parts.toolbox,
                find_agent=parts.find_agent,
                store=store,
                clock=clock,
                group=group,
            )
            stack.callback(runtime.release)
            yield runtime
    except BaseExceptionGroup as several:
        # A task group wraps what the block itself raised; whoever wrote the block wants it as it was.
        first, *others = several.exceptions
        if others:
            raise
        raise first from None
