"""What may each principal of a tenant do on its server, and what of it is not ours to give?

An account holds a tenant: nobody outside hears or reaches it. Inside one, these permissions keep principals out of each
other's inboxes, workers to their queues, and those who only look on from saying anything.

Whoever may make streams can have one keep what others are told in their inboxes, so that workers may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from quorate.bus.accounts.facts import Facts, PrincipalFacts, Role
from quorate.bus.backends._nats_names import ACK, API, WORKERS, build_stream_name
from quorate.bus.subjects import INBOX, ROOT, build_dead_subject

ALL = ("*",)


class Rights(Struct, frozen=True, kw_only=True):
    """What a role may do."""

    tells: bool = False
    """Publish, ask and enqueue."""
    answers: bool = False
    """Say something to the inboxes of others."""
    listens: bool = False
    takes: bool = False
    """Take work from streams, those that the facts name or all."""
    reads: bool = False
    """Read all streams again where the facts name none."""
    makes: bool = False
    """Make and change streams."""
    rules: bool = False
    """Do everything with the tenant's streams, and hear everything but the inboxes of others."""


ROLES: Mapping[Role, Rights] = {
    "server": Rights(tells=True, answers=True, listens=True, takes=True, reads=True, makes=True),
    "worker": Rights(tells=True, answers=True, listens=True, takes=True, reads=True),
    "publisher": Rights(tells=True),
    "observer": Rights(listens=True),
    "operator": Rights(tells=True, answers=True, listens=True, takes=True, reads=True, makes=True, rules=True),
}


class Permissions(Struct, frozen=True, kw_only=True):
    """Which subjects a server lets somebody use."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    deny_subscribe: tuple[str, ...] = ()


def build_permissions(facts: Facts, tenant: str, name: str) -> Permissions:
    """Build what a principal may do; nothing that is not listed."""
    of = facts.tenants[tenant]
    principal = of.principals[name]
    rights = ROLES[principal.role]
    publish: list[str] = []
    if rights.tells:
        ours = (f"{ROOT}.*.*.{tenant}", f"{ROOT}.*.*.{tenant}.>", *of.subjects)
        publish += ours if principal.subjects is None else principal.subjects
        publish += [build_dead_subject(queue, tenant) for queue in principal.queues or ()]
    if rights.answers:
        publish += [build_inbox(other) for other in of.principals]
    publish += _list_stream_rights(tenant, principal, rights)
    subscribe = [build_inbox(name)]
    if rights.listens:  # in an account nobody but the tenant speaks, so that a wildcard may stand for its name
        subscribe += (f"{ROOT}.>", *of.subjects) if principal.subjects is None else principal.subjects
    if not rights.rules:
        return Permissions(publish=_sort(publish), subscribe=_sort(subscribe))
    others = [build_inbox(other) for other in of.principals if other != name]
    return Permissions(
        publish=_sort([*publish, f"{API}.>", f"{ACK}.>"]),
        subscribe=(">",),
        deny_subscribe=_sort([*others, f"{INBOX}.>", f"{API}.>", f"{ACK}.>", "$SYS.>"]),
    )


def build_system_permissions() -> Permissions:
    """Build what whoever looks after the server may do: ask it how it is."""
    return Permissions(
        publish=("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.>"), subscribe=(f"{INBOX}.>", f"{INBOX}_system.>")
    )


def build_inbox(principal: str) -> str:
    """Build the pattern of a principal's own inboxes."""
    return f"{INBOX}_{principal}.>"


def _list_stream_rights(tenant: str, principal: PrincipalFacts, rights: Rights) -> list[str]:
    """List what of JetStream's own interface our bus asks for whoever has these rights."""
    takes = _name_streams(tenant, principal.queues, ALL if rights.takes else ())
    reads = _name_streams(tenant, principal.reads, ALL if rights.reads else ())
    asked: list[str] = []
    if rights.tells or takes or reads:
        asked += [f"{API}.INFO", f"{API}.STREAM.INFO.*"]
    for stream in takes:
        asked += [
            f"{API}.CONSUMER.CREATE.{stream}.{WORKERS}",
            f"{API}.CONSUMER.MSG.NEXT.{stream}.{WORKERS}",
            *(f"{ACK}.{place}{stream}.{WORKERS}.>" for place in ("", "*.*.")),
        ]
    for stream in reads:
        asked += [f"{API}.CONSUMER.CREATE.{stream}.*", f"{API}.CONSUMER.MSG.NEXT.{stream}.*"]
    if rights.makes:
        asked += [f"{API}.STREAM.CREATE.*", f"{API}.STREAM.UPDATE.*"]
    return asked


def _name_streams(tenant: str, given: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if given is None else tuple(build_stream_name(tenant, name) for name in given)


def _sort(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(subjects)))
