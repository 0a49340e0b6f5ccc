"""What does a server's configuration look like, made of facts and public keys?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from quorate.bus.accounts.facts import SYSTEM, ClusterFacts, Facts, TlsFacts, split_listen
from quorate.bus.accounts.keys import SYSTEM_WHO, Key, Who, name_who
from quorate.bus.accounts.rights import Permissions, build_permissions, build_system_permissions
from quorate.bus.backends.nats import is_loopback

HEAD = "# Written by `quorate nats config`; change the facts and run it again. Digest: "
NOTHING = 'deny: [">"]'
"""An empty list is no list to a server, and no list lets everything pass."""
_STEP = "  "


def build_configuration(facts: Facts, keys: Mapping[Who, Key], *, folder: Path, server: str = "") -> str:
    """Build the configuration of a server; it holds public keys only.

    Args:
        facts: What the server and its tenants are.
        keys: The key of each principal, and of the system's user.
        folder: Beside what streams are kept where the facts do not say where.
        server: Which of a cluster's servers it is.
    """
    body = "\n".join(_render(facts, keys, folder=folder, server=server)) + "\n"
    return f"{HEAD}{build_digest(body)}\n{body}"


def is_untouched(text: str) -> bool:
    """Whether a configuration is one of ours, as it was written."""
    head, _, body = text.partition("\n")
    return head == f"{HEAD}{build_digest(body)}"


def build_digest(body: str) -> str:
    """Build what tells whether somebody has changed a configuration."""
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def quote(text: str) -> str:
    """Write a string so that it can be nothing else in a configuration; it has no control characters."""
    return json.dumps(text, ensure_ascii=False)


def _render(facts: Facts, keys: Mapping[Who, Key], *, folder: Path, server: str) -> Iterator[str]:
    own = facts.server
    if server:
        yield f"server_name: {quote(server)}"
    yield f"listen: {quote(own.listen)}"
    yield f"max_payload: {own.max_payload}"
    yield f"max_connections: {own.max_connections}"
    store = own.store or str(folder / "streams")
    yield "jetstream {"
    yield f"  store_dir: {quote(str(Path(store) / server) if server else store)}"
    yield "  sync_interval: always"
    yield f"  max_file_store: {own.max_disk}"
    yield f"  max_memory_store: {own.max_memory}"
    yield "}"
    if facts.tls is not None:
        yield from _render_tls(facts.tls, asks=facts.tls.ask_clients)
    if facts.cluster is not None:
        yield from _render_cluster(facts.cluster, facts.tls, server=server)
    yield "accounts {"
    yield f"  {SYSTEM} {{"
    yield from _indent(_render_users([(keys[SYSTEM_WHO], build_system_permissions(), name_who(SYSTEM_WHO))]), by=2)
    yield "  }"
    for tenant in facts.tenants:
        yield from _indent(_render_account(facts, tenant, keys), by=1)
    yield "}"
    yield f"system_account: {SYSTEM}"


def _render_tls(tls: TlsFacts, *, asks: bool) -> Iterator[str]:
    yield "tls {"
    yield f"  cert_file: {quote(tls.cert)}"
    yield f"  key_file: {quote(tls.key)}"
    if tls.ca:
        yield f"  ca_file: {quote(tls.ca)}"
    yield f"  verify: {'true' if asks else 'false'}"
    yield "}"


def _render_cluster(cluster: ClusterFacts, tls: TlsFacts | None, *, server: str) -> Iterator[str]:
    place = cluster.servers[server]
    host, port = split_listen(place)
    # Under its own name a server is known to others; it listens wherever that name leads to.
    yield "cluster {"
    yield f"  name: {quote(cluster.name)}"
    yield f"  listen: {quote(place if is_loopback(host) else f'0.0.0.0:{port}')}"
    yield "  routes: ["
    yield from (f"    {quote(f'nats-route://{other}')}" for name, other in cluster.servers.items() if name != server)
    yield "  ]"
    if tls is not None and tls.ca:
        yield from _indent(_render_tls(tls, asks=True), by=1)
    yield "}"


def _render_account(facts: Facts, tenant: str, keys: Mapping[Who, Key]) -> Iterator[str]:
    of = facts.tenants[tenant]
    yield f"{quote(tenant)} {{"
    yield "  jetstream {"
    yield f"    max_file: {of.max_disk}"
    yield f"    max_mem: {of.max_memory}"
    yield f"    max_streams: {of.max_streams}"
    yield f"    max_consumers: {of.max_consumers}"
    yield "  }"
    yield f"  limits {{ max_connections: {of.max_connections}, max_subscriptions: {of.max_subscriptions} }}"
    users = [
        (keys[tenant, name], build_permissions(facts, tenant, name), name_who((tenant, name))) for name in of.principals
    ]
    yield from _indent(_render_users(users), by=1)
    yield "}"


def _render_users(users: Iterable[tuple[Key, Permissions, str]]) -> Iterator[str]:
    yield "users: ["
    for key, permissions, who in users:
        yield from _indent(_render_user(key.public, permissions, who), by=1)
        if key.previous:
            yield from _indent(_render_user(key.previous, permissions, f"{who}, the key before"), by=1)
    yield "]"


def _render_user(public: str, permissions: Permissions, who: str) -> Iterator[str]:
    yield f"{{ # {who}"
    yield f"  nkey: {public}"
    yield '  allowed_connection_types: ["STANDARD"]'
    yield "  permissions {"
    yield f"    publish {{ {_render_subjects(permissions.publish) or NOTHING} }}"
    subscribe = [_render_subjects(permissions.subscribe), _render_subjects(permissions.deny_subscribe, word="deny")]
    yield f"    subscribe {{ {', '.join(filter(None, subscribe)) or NOTHING} }}"
    yield "  }"
    yield "}"


def _render_subjects(subjects: Sequence[str], *, word: str = "allow") -> str:
    return f"{word}: [{', '.join(map(quote, subjects))}]" if subjects else ""


def _indent(lines: Iterable[str], *, by: int) -> Iterator[str]:
    for line in lines:
        yield _STEP * by + line
