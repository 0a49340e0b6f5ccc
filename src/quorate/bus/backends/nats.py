"""How do processes on many machines talk? Over NATS, with JetStream for what must not be lost on the way.

```python
async with open_nats_bus("nats://127.0.0.1:4222", tenant="acme", streams=[...]) as bus:
    await bus.enqueue("ai.agent.tasks.acme.net", task, id=run)
```
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from quorate.bus.subjects import INBOX
from quorate.errors import Forbidden, InvalidInput, MissingExtra, QuorateError
from quorate.ids import check_id
from quorate.ports.bus import StreamRule

if TYPE_CHECKING:
    from quorate.bus.backends._nats_bus import NatsBus


class NatsLogin(Struct, frozen=True, kw_only=True):
    """Who we are at a NATS server: one of user and password, token, credentials file, or NKEY seed file."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials_file: str | None = None
    nkey_file: str | None = None

    def __repr__(self) -> str:
        return f"NatsLogin({self.kind})"

    @property
    def kind(self) -> str:
        """Which of them it is; empty for nobody."""
        given = [name for name in self.__struct_fields__ if getattr(self, name) and name != "password"]
        return " and ".join(given)


class NatsTls(Struct, frozen=True, kw_only=True):
    """How a server proves who it is, and how we do."""

    ca_file: str | None = None
    """Whom to believe; the system's own list when not given."""
    cert_file: str | None = None
    key_file: str | None = None
    hostname: str | None = None
    """The name in the server's certificate, where it is not the one in its address."""


class NatsPatience(Struct, frozen=True, kw_only=True):
    """How long what is waited for."""

    connect_s: float = 5.0
    """For the first connection, and for each try of another one."""
    request_s: float = 5.0
    """For what the server itself is asked, and for a place in the window of what is on its way."""
    drain_s: float = 5.0
    """For subscribers at the end, and for the last confirmation."""
    wait_s: float = 0.1
    """The longest first wait before connecting again; it doubles, and is spread from nothing to that."""
    longest_wait_s: float = 2.0
    regroup_s: float = 2.0
    """After a connection came back: how long others are given to come back as well, before they are sent what was
    published meanwhile. Nobody hears what is told while he is away."""
    attempts: int = -1
    """How often in a row one server is tried again before it is given up; -1 for ever."""
    ping_s: float = 5.0
    """How often a silent connection is asked whether it lives; it is given up after two questions without an answer."""
    window_bytes: int = 4 << 20
    """How much may be on its way, or wait for a connection."""


@asynccontextmanager
async def open_nats_bus(
    servers: str | Sequence[str],
    *,
    tenant: str = "default",
    principal: str = "local",
    login: NatsLogin | None = None,
    tls: NatsTls | None = None,
    streams: Sequence[StreamRule] = (),
    patience: NatsPatience | None = None,
    system: NatsLogin | None = None,
) -> AsyncGenerator[NatsBus]:
    """Connect to NATS for a block; at its end subscribers take what has come, and what was sent is confirmed.

    Args:
        servers: Where, such as `nats://127.0.0.1:4222` or `tls://nats.example.com`; several for a cluster.
        tenant: Whose messages these are.
        principal: Who uses it; answers come to its own inboxes, which others may not listen to.
        login: Who we are; nobody, which goes on loopback only.
        tls: How the connection is secured; with `tls://` in an address it always is.
        streams: What is kept; made at the server where it is not there, and changed where it is another.
        patience: How long what is waited for.
        system: Who may ask the server how it stores (its system account), so that it can be checked whether what it
            confirms is on disk.

    Raises:
        MissingExtra: `nats-py` is not installed.
        InvalidInput: An address is not one, the streams do not hold together, or the server's settings do not do;
            each one is named.
        Forbidden: Nobody would be let in from another machine.
        Unauthenticated: The server does not let us in.
        Unavailable: No server can be reached; or some of what was published was lost, at the end of the block.
    """
    try:
        from quorate.bus.backends import _nats_opening as opening
    except ImportError as error:
        raise MissingExtra("a bus over NATS", "nats") from error
    patience, tenant = patience or NatsPatience(), check_id(tenant, "tenant")
    prefix = f"{INBOX}_{check_id(principal, 'principal')}"
    urls = check_servers([servers] if isinstance(servers, str) else servers, login=login)
    connection = await opening.connect(urls, login=login, tls=tls, prefix=prefix, patience=patience)
    try:
        bus = opening.build_bus(connection, tenant=tenant, prefix=prefix, patience=patience)
        await opening.check_settings(
            bus, urls, tuple(streams), system=system, tls=tls, prefix=prefix, patience=patience
        )
        await bus.begin(tuple(streams), timeout_s=patience.request_s)
        try:
            yield bus
        except BaseException:
            with suppress(QuorateError):  # what went wrong in the block is what matters
                await bus.drain(timeout_s=patience.drain_s)
            raise
        await bus.drain(timeout_s=patience.drain_s)
    finally:
        await opening.close(connection, timeout_s=patience.drain_s)


def check_servers(servers: Sequence[str], *, login: NatsLogin | None) -> list[str]:
    """Return the addresses of servers, if they are ones that may be connected to.

    Raises:
        InvalidInput: One is no such address, or has a password in it; or `login` is several things at once.
        Forbidden: One is on another machine, and we are nobody.
    """
    if not servers:
        raise InvalidInput("there is no NATS server to connect to: give its address, such as `nats://127.0.0.1:4222`.")
    if login is not None and " and " in login.kind:
        raise InvalidInput(f"the login is {login.kind} at once; choose one.")
    for server in servers:
        try:
            parts = urlsplit(server)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = urlsplit(""), ""
        if parts.scheme not in ("nats", "tls") or not host or parts.path.strip("/"):
            raise InvalidInput(
                f"NATS server {hide_password(server)!r} is no address: write `nats://host:4222` or `tls://host:4222`."
            )
        if parts.username or parts.password:
            raise InvalidInput(f"NATS server {hide_password(server)!r} has a login in its address: give it as `login`.")
        if not is_loopback(host) and (login is None or not login.kind):
            raise Forbidden(
                f"NATS server {server!r} is on another machine, where nobody may be anonymous: give `login`."
            )
    return list(servers)


def hide_password(address: str) -> str:
    """Return an address without what stands before the `@`."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else address


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def build_ssl(tls: NatsTls) -> ssl.SSLContext:
    """Build what checks a server's certificate, and shows ours.

    Raises:
        InvalidInput: A file is not there, or is none of those.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"the certificates of {tls!r} cannot be read: {error}") from error
    return context
