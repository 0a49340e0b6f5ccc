"""Do the facts of a bus and its tenants hold together, and is it open to nobody by mistake?"""

from __future__ import annotations

from collections.abc import Iterator

from quorate.bus.accounts.facts import MIN_PAYLOAD, Facts, PrincipalFacts, TenantFacts, TlsFacts, split_listen
from quorate.bus.accounts.rights import ROLES
from quorate.bus.backends.nats import is_loopback
from quorate.bus.subjects import INBOX, ROOT, check_pattern
from quorate.errors import Forbidden, InvalidInput
from quorate.ids import check_id

Fault = tuple[tuple[str, ...], str]
"""Where, and what is wrong there."""
MAX_PAYLOAD = 64 << 20
"""What NATS itself takes at most."""
COUNTS = ("max_streams", "max_consumers", "max_connections", "max_subscriptions", "max_disk")


def find_nonsense(facts: Facts) -> Iterator[Fault]:
    """Find everything that is wrong with facts whose values are what they must be each for itself."""
    yield from _find_server_nonsense(facts)
    if facts.tls is not None:
        yield from _find_tls_nonsense(facts.tls)
    yield from _find_cluster_nonsense(facts)
    if not facts.tenants:
        yield ("tenants",), "has nobody in it; write at least one table such as `[tenants.acme]`"
    for name, tenant in facts.tenants.items():
        yield from _find_tenant_nonsense(name, tenant)
    for what in ("max_disk", "max_memory"):
        wanted = sum(int(getattr(tenant, what)) for tenant in facts.tenants.values())
        there = int(getattr(facts.server, what))
        if wanted > there:
            yield ("server", what), f"is {there} bytes, and the tenants may take {wanted}; raise it, or lower theirs"


def _find_server_nonsense(facts: Facts) -> Iterator[Fault]:
    server = facts.server
    try:
        host, _ = split_listen(server.listen)
    except InvalidInput as error:
        yield ("server", "listen"), f"is wrong: {error.message}"
        return
    if not is_loopback(host) and facts.tls is None:
        yield (
            ("server", "listen"),
            f"is {server.listen!r}, which others can reach: add `[tls]` with `cert` and `key`, or use `127.0.0.1:4222`",
        )
    if not MIN_PAYLOAD <= server.max_payload <= MAX_PAYLOAD:
        yield ("server", "max_payload"), f"is {server.max_payload}; it is from 1MB to 64MB"
    if server.max_connections < 1:
        yield ("server", "max_connections"), f"is {server.max_connections}; it is more than 0"
    yield from _find_bad_path(("server", "store"), server.store)


def _find_tls_nonsense(tls: TlsFacts) -> Iterator[Fault]:
    for name, path in (("cert", tls.cert), ("key", tls.key), ("ca", tls.ca)):
        if not path and name != "ca":
            yield ("tls", name), "is empty; write the path of a PEM file"
        yield from _find_bad_path(("tls", name), path)
    if tls.ask_clients and not tls.ca:
        yield ("tls", "ask_clients"), "needs `ca`: whose certificates are believed"


def _find_cluster_nonsense(facts: Facts) -> Iterator[Fault]:
    cluster = facts.cluster
    if cluster is None:
        return
    yield from _find_bad_id(("cluster", "name"), cluster.name, "cluster")
    if len(cluster.servers) < 2:
        yield ("cluster", "servers"), "names fewer than two servers; leave `[cluster]` out for one, and name three else"
    for name, place in cluster.servers.items():
        yield from _find_bad_id(("cluster", "servers", name), name, "server")
        try:
            host, port = split_listen(place)
        except InvalidInput as error:
            yield ("cluster", "servers", name), f"is wrong: {error.message}"
            continue
        if port < 0:
            yield ("cluster", "servers", name), f"is {place!r}: others must know its port"
        if not is_loopback(host) and (facts.tls is None or not facts.tls.ca):
            yield (
                ("cluster", "servers", name),
                f"is {place!r}, which others can reach: add `[tls]` with `cert`, `key` and `ca` for servers as well",
            )


def _find_tenant_nonsense(name: str, tenant: TenantFacts) -> Iterator[Fault]:
    place = ("tenants", name)
    yield from _find_bad_id(place, name, "tenant")
    for what in COUNTS:
        value = int(getattr(tenant, what))
        if value < 1:
            yield (*place, what), f"is {value}; it is more than 0"
    if tenant.max_memory < 0:
        yield (*place, "max_memory"), f"is {tenant.max_memory}; it is 0 or more"
    for subject in tenant.subjects:
        yield from _find_bad_subject((*place, "subjects"), subject, name)
    if not tenant.principals:
        yield (*place, "principals"), "has nobody in it; write at least one, such as `principals.worker`"
    for who, principal in tenant.principals.items():
        where = (*place, "principals", who)
        yield from _find_bad_id(where, who, "principal")
        yield from _find_principal_nonsense(where, principal, tenant=name, extra=tenant.subjects)


def _find_principal_nonsense(
    place: tuple[str, ...], principal: PrincipalFacts, *, tenant: str, extra: tuple[str, ...]
) -> Iterator[Fault]:
    rights = ROLES[principal.role]
    for subject in principal.subjects or ():
        if subject not in extra:
            yield from _find_bad_subject((*place, "subjects"), subject, tenant)
    if principal.queues is not None and not rights.takes:
        yield (*place, "queues"), f"is nothing for the role `{principal.role}`, which takes no work"
    if principal.reads is not None and not (rights.listens or rights.reads):
        yield (*place, "reads"), f"is nothing for the role `{principal.role}`, which reads nothing"
    if rights.rules and (principal.subjects, principal.queues, principal.reads) != (None, None, None):
        yield place, "is an operator, who may do everything in its tenant: leave `subjects`, `queues`, `reads` out"
    for what, names in (("queues", principal.queues), ("reads", principal.reads)):
        for stream in names or ():
            yield from _find_bad_id((*place, what), stream, "stream")


def _find_bad_subject(place: tuple[str, ...], subject: str, tenant: str) -> Iterator[Fault]:
    try:
        check_pattern(subject)
    except (InvalidInput, Forbidden) as error:
        yield place, f"is wrong: {error.message.rstrip('.')}"
        return
    words = subject.split(".")
    if words[0] in ("*", ">") or words[0].startswith(INBOX):
        yield place, f"has {subject!r}, which takes in the inboxes of others; begin with a word, such as `audit.>`"
    elif words[0] == ROOT and (len(words) < 4 or words[3] != tenant):
        yield place, f"has {subject!r}; subjects of `{ROOT}` name their tenant, such as `{ROOT}.agent.tasks.{tenant}`"


def _find_bad_id(place: tuple[str, ...], name: str, what: str) -> Iterator[Fault]:
    try:
        check_id(name, what)
    except InvalidInput as error:
        yield place, f"is wrong: {error.message.rstrip('.')}"


def _find_bad_path(place: tuple[str, ...], path: str) -> Iterator[Fault]:
    if not path.isprintable():
        yield place, f"is {path[:80]!r}: a path has no control characters"
