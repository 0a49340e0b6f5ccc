"""How does a process reach the others of its fleet, and go on alone while it cannot?"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from msgspec import structs

from quorate.agent.errand import build_task_rules
from quorate.bus.backends.nats import NatsLogin, NatsPatience, NatsTls, check_servers, open_nats_bus
from quorate.bus.returning import ReturnPatience, open_returning_bus
from quorate.errors import MissingExtra, QuorateError, Unavailable, describe_error
from quorate.ports import Store
from quorate.ports.bus import StreamRule
from quorate.runtime.courier import Courier, Told, open_courier
from quorate.runtime.serving import serve_agents
from quorate.runtime.worker import Worker
from quorate.settings import Settings
from quorate.settings.check import split_bus_login
from quorate.settings.values import BUS_PASSWORD

if TYPE_CHECKING:
    from quorate.bus.backends._nats_bus import NatsBus

PATIENCE_S = 2.0
"""How long is waited for the bus in the background."""
RETRY_S = 2.0
"""After how many seconds a bus is opened again from which tasks are to come."""
GIVE_BACK_S = 5.0
"""How long is waited at the end for tasks to be answered; what is left then is given back."""
DRAIN_S = 0.5
"""How long is waited at the end for what was published to be confirmed."""
_logger = logging.getLogger("quorate.bus")


def find_bus(settings: Settings) -> tuple[list[str], NatsLogin, NatsTls | None]:
    """Find where the bus is, who we are there, and how the connection is secured.

    Raises:
        InvalidInput: An address is not one, or there are several logins.
        Forbidden: It is on another machine, and there is no login.
    """
    chosen = settings.bus
    servers, user, password = split_bus_login(chosen.url)
    login = NatsLogin(
        user=user,
        password=password or settings.find_credential(BUS_PASSWORD),
        token=chosen.token.reveal() if chosen.token is not None else None,
        credentials_file=chosen.credentials_file or None,
        nkey_file=chosen.nkey_file or None,
    )
    files = {"ca_file": chosen.ca_file, "cert_file": chosen.cert_file, "key_file": chosen.key_file}
    tls = NatsTls(**{name: file for name, file in files.items() if file}) if any(files.values()) else None
    return check_servers(servers, login=login), login, tls


@asynccontextmanager
async def open_bus(settings: Settings, *, streams: Sequence[StreamRule] = ()) -> AsyncGenerator[NatsBus]:
    """Open the bus that the settings name, once; it raises what `open_nats_bus` and `find_bus` do.

    Args:
        settings: Where it is, and who we are there.
        streams: What is kept there.
    """
    servers, login, tls = find_bus(settings)
    # The client takes a good part of a second to load, in which runs are to go on.
    with suppress(ImportError):
        await asyncio.to_thread(importlib.import_module, "quorate.bus.backends._nats_opening")
    short = NatsPatience(connect_s=PATIENCE_S, request_s=PATIENCE_S, drain_s=DRAIN_S)
    tenant, principal = settings.bus.tenant, settings.bus.principal
    async with open_nats_bus(
        servers, tenant=tenant, principal=principal, login=login, tls=tls, streams=streams, patience=short
    ) as bus:
        yield bus


@asynccontextmanager
async def open_told(
    settings: Settings, store: Store, *, patience: ReturnPatience | None = None
) -> AsyncGenerator[tuple[Store, Courier]]:
    """Open a store that tells the rest of the fleet what is recorded here, and the courier that does.

    The bus is opened in the background when it is first needed. That it is away is logged once, and it is looked for
    again; nothing waits for it.

    Args:
        settings: Where the bus is.
        store: Of whose log others are told.
        patience: How often a bus that is away is looked for.

    Raises:
        InvalidInput: The settings of the bus do not hold together.
        Forbidden: It is on another machine, and there is no login.
        MissingExtra: What speaks to it is not installed.
    """
    find_bus(settings)
    if importlib.util.find_spec("nats") is None:
        raise MissingExtra("a bus over NATS", "nats")
    async with (
        open_returning_bus(lambda: open_bus(settings), tell=_log, patience=patience) as bus,
        open_courier(bus, tenant=settings.bus.tenant) as courier,
    ):
        yield structs.replace(store, log=Told(store.log, courier)), courier


@asynccontextmanager
async def serve_tasks(
    worker: Worker,
    *,
    wait_s: float = RETRY_S,
    tell: Callable[[QuorateError | None], None] | None = None,
) -> AsyncGenerator[None]:
    """Take what comes over the bus for the agents that a worker was told to do, for a block in which it works.

    Their runs are the worker's: they count as its own, and are handed over with them. What was not done at the end of
    the block is given back. While the bus is away, or cannot keep tasks, the worker does what is in the record, and the
    bus is opened again and again.

    Args:
        worker: Has the runs; its agents' queues are served where it was told agents, on the bus of its settings.
        wait_s: After how long the bus is opened again; from half of that to all of it.
        tell: Told once why no tasks come, and `None` once they do again; logged by default.
    """
    settings, agents = worker.runtime.settings, worker.placement.offered
    if not (settings.bus.url and worker.placement.patterns and agents):
        yield
        return
    serving = _Serving(worker, agents, tell=tell or _log_tasks)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serving.serve(wait_s=wait_s))
        try:
            yield
        finally:
            worker.stop()
            await asyncio.wait({task}, timeout=GIVE_BACK_S)
            task.cancel()


class _Serving:
    """The tasks of some agents, over a bus that may go away and come back."""

    def __init__(self, worker: Worker, agents: Sequence[str], *, tell: Callable[[QuorateError | None], None]) -> None:
        self._worker = worker
        self._agents = agents
        self._tell = tell
        self._is_away = False

    async def serve(self, *, wait_s: float) -> None:
        """Serve until the worker stops and what it began has ended."""
        while not self._worker.is_stopping:
            try:
                await self._serve_once(settled_s=wait_s)
            except Exception as error:  # whatever is wrong with a bus must end nobody's work
                self._say(_find_first(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s * (1 + random.random()) / 2):
                    await self._worker.stopping.wait()

    async def _serve_once(self, *, settled_s: float) -> None:
        runtime, settings = self._worker.runtime, self._worker.runtime.settings
        tenant = settings.bus.tenant
        rules = build_task_rules(self._agents, tenant=tenant)
        async with open_bus(settings, streams=rules) as bus, asyncio.TaskGroup() as group:
            settling = group.create_task(self._settle(settled_s))
            await serve_agents(
                runtime.for_tenant(tenant),
                bus,
                agents=self._agents,
                concurrency=self._worker.concurrency,
                stopping=self._worker.stopping,
                worker=self._worker,
            )
            settling.cancel()

    async def _settle(self, settled_s: float) -> None:
        # A bus that can be opened, and on which the queues cannot be served, would be back and away for ever.
        await asyncio.sleep(settled_s)
        self._say(None)

    def _say(self, why: QuorateError | None) -> None:
        if self._is_away != (why is not None):
            self._is_away = why is not None
            self._tell(why)


def _find_first(error: Exception) -> QuorateError:
    """Find what went wrong first in a group of errors."""
    if isinstance(error, ExceptionGroup):
        return _find_first(cast("ExceptionGroup[Exception]", error).exceptions[0])
    return error if isinstance(error, QuorateError) else Unavailable(f"The bus was lost: {describe_error(error)}")


def _log_tasks(why: QuorateError | None) -> None:
    if why is None:
        _logger.warning("Tasks are taken from the bus again.")
    else:
        _logger.warning("%s No tasks are taken from the bus for now; runs in the database are done.", why.message)


def _log(why: QuorateError | None) -> None:
    if why is None:
        _logger.warning("The bus is back.")
    else:
        _logger.warning("%s Work goes on without the bus, and finds what is new by looking.", why.message)
