"""How does a process reach the others of its fleet, and go on alone while it cannot?"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import structs

from quorate.bus.backends.nats import NatsLogin, NatsPatience, NatsTls, check_servers, open_nats_bus
from quorate.bus.returning import ReturnPatience, open_returning_bus
from quorate.errors import MissingExtra, QuorateError
from quorate.ports import Store
from quorate.runtime.courier import Courier, Told, open_courier
from quorate.settings import Settings
from quorate.settings.check import split_bus_login
from quorate.settings.values import BUS_PASSWORD

if TYPE_CHECKING:
    from quorate.bus.backends._nats_bus import NatsBus

PATIENCE_S = 2.0
"""How long is waited for the bus in the background."""
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
async def open_bus(settings: Settings) -> AsyncGenerator[NatsBus]:
    """Open the bus that the settings name, once; it raises what `open_nats_bus` and `find_bus` do."""
    servers, login, tls = find_bus(settings)
    # The client takes a good part of a second to load, in which runs are to go on.
    with suppress(ImportError):
        await asyncio.to_thread(importlib.import_module, "quorate.bus.backends._nats_bus")
    short = NatsPatience(connect_s=PATIENCE_S, request_s=PATIENCE_S, drain_s=DRAIN_S)
    tenant, principal = settings.bus.tenant, settings.bus.principal
    async with open_nats_bus(servers, tenant=tenant, principal=principal, login=login, tls=tls, patience=short) as bus:
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


def _log(why: QuorateError | None) -> None:
    if why is None:
        _logger.warning("The bus is back.")
    else:
        _logger.warning("%s Work goes on without the bus, and finds what is new by looking.", why.message)
