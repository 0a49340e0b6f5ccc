"""Is a NATS server what ours must be, and if not, in which of its settings?"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import msgspec
from msgspec import Struct

from quorate.bus.backends._nats_ask import Answer, Asker
from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends._nats_names import API
from quorate.bus.backends._nats_wire import build_request
from quorate.bus.backends.nats import is_loopback
from quorate.errors import Forbidden, QuorateError
from quorate.ports.bus import StreamRule

MIN_PAYLOAD = 1 << 20
PING = "$SYS.REQ.SERVER.PING.JSZ"
MOST_SERVERS = 100
TEMPORARY = "/tmp/nats/jetstream"  # noqa: S108 where a server keeps streams that is not told where; never written to
OLDEST = {(2, 12): 12, (2, 14): 3}
"""The first patch of each release line that loses nothing we know of; lines in between have none."""


class AccountLimits(Struct, frozen=True):
    """What an account may store."""

    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1


class Account(Answer, frozen=True):
    """What JetStream says of our account."""

    streams: int = 0
    storage: int = 0
    limits: AccountLimits = AccountLimits()


class StoreConfig(Struct, frozen=True):
    """How a server stores."""

    store_dir: str = ""
    max_storage: int = 0
    sync_interval: int = 0
    sync_always: bool = False


class StoreCluster(Struct, frozen=True):
    """How many servers keep streams together."""

    cluster_size: int = 1


class StoreData(Struct, frozen=True):
    """What a server says of its JetStream."""

    disabled: bool = False
    config: StoreConfig | None = None
    meta_cluster: StoreCluster = StoreCluster()


class StoreServer(Struct, frozen=True):
    """Which server says so."""

    name: str = ""


class StoreReport(Struct, frozen=True):
    """What a server answers to its operators."""

    data: StoreData
    server: StoreServer = StoreServer()


async def find_server_faults(
    connection: Connection, asker: Asker, rules: tuple[StreamRule, ...], *, timeout_s: float
) -> list[str]:
    """Find what is wrong with a server, as far as a tenant can see: every fault, each with what to set."""
    info = connection._server_info  # pyright: ignore[reportPrivateUsage]
    faults = find_version_faults(str(info.get("version", "")))
    if connection.max_payload < MIN_PAYLOAD:
        faults.append(f"`max_payload` is {connection.max_payload}; set it to `1MB` or more")
    if not info.get("headers", False):
        faults.append("headers are off; remove `no_header_support`")
    if not info.get("auth_required", False) and not is_loopback(connection.find_host()):
        faults.append("it lets in anybody, from any machine; add `accounts`: `quorate nats config` writes them")
    if not rules:
        return faults
    if not info.get("jetstream", False):
        return [*faults, "JetStream is off; add `jetstream { store_dir: …, sync_interval: always }`"]
    try:
        account = await asker.ask_server(f"{API}.INFO", None, Account, timeout_s=timeout_s, what="the account")
    except Forbidden as error:
        return [*faults, f"our login may not use streams; give it a role that may ({error.message})"]
    except QuorateError as error:
        return [*faults, f"JetStream is off for this account; add `jetstream: enabled` to it ({error.message})"]
    return [*faults, *find_limit_faults(account, rules)]


def find_version_faults(version: str) -> list[str]:
    """Find whether a server is too old."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return [f"its version {version!r} is not one"]
    major, minor, patch = (int(word) for word in found.groups())
    line = (major, minor)
    if line > max(OLDEST) or (line in OLDEST and patch >= OLDEST[line]):
        return []
    return [f"its version is {version}; use 2.14.3 or later, or 2.12.12 or later of 2.12"]


def find_limit_faults(account: Account, rules: tuple[StreamRule, ...]) -> list[str]:
    """Find which limits of an account have no room for our streams."""
    faults: list[str] = []
    wanted = sum(rule.max_bytes for rule in rules)
    limits = account.limits
    if limits.max_storage == 0:
        faults.append("the account's `max_file` is 0, so that streams would be in memory only: set it")
    elif 0 < limits.max_storage < wanted:
        faults.append(
            f"the account's `max_file` is {limits.max_storage} bytes, and the streams may take {wanted}: raise it, "
            "or lower their `max_bytes`"
        )
    if 0 <= limits.max_streams < len(rules):
        faults.append(f"the account's `max_streams` is {limits.max_streams}; there are {len(rules)} streams")
    queues = sum(rule.kind == "work" for rule in rules)
    if 0 <= limits.max_consumers <= queues:
        faults.append(
            f"the account's `max_consumers` is {limits.max_consumers}; {queues} queues have one each, and so does "
            "everybody who reads a stream"
        )
    return faults


async def find_store_faults(asker: Asker, rules: tuple[StreamRule, ...], *, timeout_s: float) -> list[str]:
    """Find what is wrong with how servers store, each of a cluster; only their system account may ask."""
    try:
        reports = await _read_reports(asker, timeout_s=timeout_s)
    except (QuorateError, msgspec.DecodeError) as error:
        return [f"it does not tell how it stores: the credentials are not of its system account ({error})"]
    size = max(report.data.meta_cluster.cluster_size for report in reports)
    faults: list[str] = []
    if len(reports) < size:
        faults.append(f"{len(reports)} of {size} servers tell how they store; wait until all of them run")
    replicas = max((rule.replicas for rule in rules), default=1)
    if replicas > size:
        faults.append(f"streams are to have {replicas} replicas, and there is {size} server for them: add servers")
    for report in reports:
        where = f" (server {report.server.name!r})" if size > 1 else ""
        faults += [f"{fault}{where}" for fault in find_config_faults(report.data, rules)]
    return faults


def find_config_faults(data: StoreData, rules: tuple[StreamRule, ...]) -> list[str]:
    """Find what is wrong with how one server stores."""
    config = data.config
    if config is None or data.disabled:
        return ["JetStream is off; add `jetstream { store_dir: …, sync_interval: always }`"]
    faults: list[str] = []
    if not config.sync_always and any(rule.kind == "work" for rule in rules):
        faults.append(
            f"`sync_interval` is {config.sync_interval / 1e9:g} s, so that what it confirms may be lost with the "
            "power: set `sync_interval: always`"
        )
    wanted = sum(rule.max_bytes * rule.replicas for rule in rules)
    if config.max_storage < wanted:
        faults.append(f"`max_file_store` is {config.max_storage} bytes, and the streams may take {wanted}")
    if config.store_dir.endswith(TEMPORARY):
        faults.append(f"`store_dir` is {config.store_dir!r}, which a start of the machine may empty: name another one")
    return faults


async def _read_reports(asker: Asker, *, timeout_s: float) -> list[StoreReport]:
    """Read what every server of a cluster says of how it stores, as many as answer in time.

    Raises:
        QuorateError: None answers.
        DecodeError: An answer is none.
    """
    reply, others = asker.name(), f"{asker.inbox}-more"
    found: list[bytes] = []
    came = asyncio.Event()

    def hear(subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        if len(found) < MOST_SERVERS:
            found.append(data)
        came.set()

    _, first, _ = await asker.ask(build_request(PING, b"", reply=reply), reply=reply, subject=PING, timeout_s=timeout_s)
    reports = [msgspec.json.decode(first, type=StoreReport)]
    size = reports[0].data.meta_cluster.cluster_size
    if size <= 1:
        return reports
    number = await asker.connection.listen(others, hear)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asker.connection.send(build_request(PING, b"", reply=others))
                while len(found) < size:
                    came.clear()
                    await came.wait()
    finally:
        await asker.connection.leave(number)
    by_name = {report.server.name: report for report in (msgspec.json.decode(one, type=StoreReport) for one in found)}
    return list(by_name.values()) or reports
