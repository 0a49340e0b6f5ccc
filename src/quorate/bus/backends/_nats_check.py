"""Is a NATS server what ours must be, and if not, in which of its settings?"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from quorate.bus.backends._nats_ask import Answer, Asker
from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends._nats_streams import API
from quorate.errors import QuorateError
from quorate.ports.bus import StreamRule

MIN_PAYLOAD = 1 << 20
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

    max_storage: int = 0
    sync_interval: int = 0
    sync_always: bool = False


class StoreData(Struct, frozen=True):
    """What a server says of its JetStream."""

    disabled: bool = False
    config: StoreConfig | None = None


class StoreReport(Struct, frozen=True):
    """What a server answers to its operators."""

    data: StoreData


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
    if not rules:
        return faults
    if not info.get("jetstream", False):
        return [*faults, "JetStream is off; add `jetstream { store_dir: …, sync_interval: always }`"]
    try:
        account = await asker.ask_server(f"{API}.INFO", None, Account, timeout_s=timeout_s, what="the account")
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
    if 0 <= limits.max_storage < wanted:
        faults.append(
            f"the account's `max_file` is {limits.max_storage} bytes, and the streams may take {wanted}: raise it, "
            "or lower their `max_bytes`"
        )
    if 0 <= limits.max_streams < len(rules):
        faults.append(f"the account's `max_streams` is {limits.max_streams}; there are {len(rules)} streams")
    return faults


async def find_store_faults(asker: Asker, rules: tuple[StreamRule, ...], *, timeout_s: float) -> list[str]:
    """Find what is wrong with how a server stores; only its system account may ask."""
    reply = asker.name()
    command = f"PUB $SYS.REQ.SERVER.PING.JSZ {reply} 0\r\n\r\n".encode()
    try:
        _, found, _ = await asker.ask(command, reply=reply, subject="$SYS.REQ.SERVER.PING.JSZ", timeout_s=timeout_s)
        report = msgspec.json.decode(found, type=StoreReport)
    except (QuorateError, msgspec.DecodeError) as error:
        return [f"it does not tell how it stores: the credentials are not of its system account ({error})"]
    config = report.data.config
    if config is None or report.data.disabled:
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
    return faults
