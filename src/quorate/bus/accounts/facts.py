"""Which tenants does a NATS server have, who talks there for each, and how much may they take?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, field, structs

from quorate.errors import InvalidInput
from quorate.ids import check_id

Role = Literal["server", "worker", "publisher", "observer", "operator"]
"""What somebody does on the bus; `quorate.bus.accounts.rights` says what that takes."""
SYSTEM = "SYS"
"""The account of those who look after the server; no tenant has a capital letter in its name."""
SYSTEM_USER = "system"
MIN_PAYLOAD = 1 << 20
_KIB = 1 << 10
_MIB = 1 << 20
_GIB = 1 << 30


class PrincipalFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who talks for a tenant."""

    role: Role
    subjects: tuple[str, ...] | None = None
    """Where it may speak and listen; everywhere in its tenant when not given."""
    queues: tuple[str, ...] | None = None
    """From which streams of work it may take; a `worker` from all of them when not given."""
    reads: tuple[str, ...] | None = None
    """Which streams it may read again; a `worker` all of them when not given, an `observer` none."""


DEFAULT_PRINCIPALS: Mapping[str, PrincipalFacts] = {
    "server": PrincipalFacts(role="server"),
    "worker": PrincipalFacts(role="worker"),
}
"""Who talks for a tenant of which nothing else is said."""


class TenantFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tenant has of a server."""

    principals: dict[str, PrincipalFacts] = field(default_factory=lambda: dict(DEFAULT_PRINCIPALS))
    subjects: tuple[str, ...] = ()
    """Further subjects, beside those of ours that name it."""
    max_disk: int = 8 * _GIB
    """How many bytes its streams may take, all together."""
    max_memory: int = 64 * _MIB
    max_streams: int = 256
    max_consumers: int = 4096
    max_connections: int = 256
    max_subscriptions: int = 100_000


class ServerFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server is, whoever uses it."""

    listen: str = "127.0.0.1:4222"
    """Where it takes connections; port -1 is any that is free."""
    store: str = ""
    """Where streams are kept on disk; beside the configuration when not given."""
    max_payload: int = MIN_PAYLOAD
    """How large a message may be, for every tenant: a server does not tell a client of a bound of its own."""
    max_connections: int = 10_000
    max_disk: int = 64 * _GIB
    max_memory: int = 1 * _GIB


class TlsFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server proves who it is."""

    cert: str
    key: str
    ca: str = ""
    """Whose certificates are believed: of the other servers, and of clients when they are asked for one."""
    ask_clients: bool = False
    """Whether clients must show a certificate, too."""


class ClusterFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which servers are one."""

    servers: dict[str, str]
    """By its name, where each takes connections of the others."""
    name: str = "quorate"


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a configuration is made of, but for the keys."""

    tenants: dict[str, TenantFacts]
    server: ServerFacts = ServerFacts()
    tls: TlsFacts | None = None
    cluster: ClusterFacts | None = None


def build_facts(tenants: Iterable[str], *, server: ServerFacts | None = None, tls: TlsFacts | None = None) -> Facts:
    """Build the facts of tenants of which only the names are known.

    Raises:
        InvalidInput: There is none, or one twice, or a name is not one.
    """
    names = [check_id(tenant, "tenant") for tenant in tenants]
    double = sorted({name for name in names if names.count(name) > 1})
    if double or not names:
        raise InvalidInput(
            f"tenant {double[0]!r} is there twice: name each one once."
            if double
            else "there is no tenant: name at least one, such as `--tenant acme`, or give a file of facts."
        )
    server, one = server or ServerFacts(), TenantFacts()
    roomy = structs.replace(
        server,
        max_disk=max(server.max_disk, one.max_disk * len(names)),
        max_memory=max(server.max_memory, one.max_memory * len(names)),
    )
    return Facts(tenants=dict.fromkeys(names, one), server=roomy, tls=tls)


def list_principals(facts: Facts) -> list[tuple[str, str]]:
    """List who talks there, each as tenant and name."""
    return [(tenant, name) for tenant, of in facts.tenants.items() for name in of.principals]


def split_listen(listen: str) -> tuple[str, int]:
    """Split where connections are taken into host and port.

    Raises:
        InvalidInput: It is no such place.
    """
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    is_number = port.isascii() and (port.isdecimal() or port == "-1") and len(port) <= 5
    if not (colon and host and is_number and (port == "-1" or 0 < int(port) < 65_536)):
        raise InvalidInput(f"{listen[:80]!r} is no place to listen at; write a host and a port, such as `0.0.0.0:4222`")
    if any(not ("!" <= character <= "~") or character in "\"'\\/{}" for character in host):
        raise InvalidInput(f"{listen[:80]!r} has no host; write a name or an address, such as `0.0.0.0:4222`")
    return host, int(port)
