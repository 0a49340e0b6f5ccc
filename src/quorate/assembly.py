"""Which concrete parts does a running Quorate consist of? The only place that reads settings and chooses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import structs

from quorate.agent.agent import AnyAgent
from quorate.catalog.build import PLAYBOOK, build_agent
from quorate.catalog.load import load_catalog
from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.models.gateway import build_model
from quorate.models.retry import Retrying
from quorate.ports import Model
from quorate.runtime import Runtime
from quorate.settings import Settings, load_settings
from quorate.settings.values import cap_limits
from quorate.state.backends.sqlite import open_sqlite_log
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

    def __init__(self, settings: Settings, models: Mapping[str, Model]) -> None:
        self.settings = settings
        self.toolbox = build_toolbox(settings)
        directories = [Path(directory) for directory in settings.agents.directories]
        self.catalog = load_catalog(directories, tools=self.toolbox, may_replace=settings.agents.may_replace)
        self._models = dict(models)

    def find_agent(self, name: str, model: str | None = None) -> AnyAgent:
        """Put an agent of the catalog together.

        Raises:
            UnknownName: There is no such agent or model provider.
            InvalidInput: The agent needs a model and there is none.
        """
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
    ]
    return {tool.name: tool for tool in tools}


@asynccontextmanager
async def open_runtime(
    settings: Settings | None = None, *, models: Mapping[str, Model] | None = None, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[Runtime]:
    """Open everything that running agents takes, and close it again at the end of the block.

    Runs that are still under way then are left to rest; `resume` goes on with them.

    Args:
        settings: What to open; found in the usual places when not given.
        models: Models by name, beside those that settings and providers give; for tests and for your own.
        clock: Where time comes from.

    Raises:
        InvalidInput: The settings or agent files do not hold together; every fault is listed.
        Unavailable: The database cannot be opened.
    """
    chosen = settings or load_settings()
    parts = Parts(chosen, models or {})
    try:
        async with AsyncExitStack() as stack:
            log = await stack.enter_async_context(open_sqlite_log(chosen.database, clock=clock))
            stack.push_async_callback(parts.aclose)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            runtime = Runtime(
                settings=chosen,
                catalog=parts.catalog,
                tools=parts.toolbox,
                find_agent=parts.find_agent,
                log=log,
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
