"""How does a test have a NATS server that is set up as `quorate nats config` does, and log in there?"""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from quorate.bus.accounts.facts import Facts, PrincipalFacts, ServerFacts, TenantFacts
from quorate.bus.accounts.saving import save_configuration
from quorate.bus.backends._nats_bus import NatsBus
from quorate.bus.backends.nats import NatsLogin, NatsPatience, open_nats_bus
from quorate.ports.bus import StreamRule
from quorate.testing.nats_server import NatsServer, open_nats_server

EVERY_ROLE: Mapping[str, PrincipalFacts] = {
    "server": PrincipalFacts(role="server"),
    "worker": PrincipalFacts(role="worker"),
    "second": PrincipalFacts(role="worker"),
    "teller": PrincipalFacts(role="publisher"),
    "looker": PrincipalFacts(role="observer", reads=("events",)),
    "chief": PrincipalFacts(role="operator"),
}


class Tenants:
    """A server with tenants, in a folder of its own."""

    def __init__(self, server: NatsServer, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def find_login(self, tenant: str, principal: str) -> NatsLogin:
        """Find the key of somebody."""
        return NatsLogin(nkey_file=str(self.folder / "keys" / tenant / f"{principal}.nk"))

    @asynccontextmanager
    async def open(
        self,
        tenant: str,
        principal: str,
        *,
        streams: Sequence[StreamRule] = (),
        patience: NatsPatience | None = None,
    ) -> AsyncGenerator[NatsBus]:
        """Open a bus as somebody."""
        login = self.find_login(tenant, principal)
        async with open_nats_bus(
            self.server.url, tenant=tenant, principal=principal, login=login, streams=streams, patience=patience
        ) as bus:
            yield bus


def build_facts(
    *tenants: str, principals: Mapping[str, PrincipalFacts] = EVERY_ROLE, subjects: tuple[str, ...] = ()
) -> Facts:
    """Build the facts of a server on any port of this machine."""
    of = TenantFacts(principals=dict(principals), subjects=subjects)
    return Facts(tenants=dict.fromkeys(tenants, of), server=ServerFacts(listen="127.0.0.1:-1"))


@contextmanager
def open_tenants(facts: Facts, *, lines: Sequence[str] = ()) -> Generator[Tenants]:
    """Start a server that is set up so, for a block."""
    folder = Path(tempfile.mkdtemp(prefix="quorate-tenants-"))
    try:
        saved = save_configuration(facts, folder)
        with open_nats_server(lines=lines, configuration=Path(saved.configurations[0])) as server:
            yield Tenants(server, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
