"""How is a Redis or Valkey server doing?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol, cast

from msgspec import Struct, structs

from quorate.errors import MissingExtra
from quorate.tools.builtin.checks import Board, clean
from quorate.tools.builtin.code.finding import Finding

TIMEOUT_S = 5.0
WHOLE_S = 12.0
Info = dict[str, object]


class _Client(Protocol):
    async def info(self) -> Info: ...
    async def slowlog_get(self, num: int) -> list[Info]: ...
    async def aclose(self) -> None: ...


class SlowCommand(Struct, frozen=True, kw_only=True):
    """A command that took long; what it was called with is left out."""

    command: str
    ms: float
    at: str


class RedisHealth(Struct, frozen=True, kw_only=True):
    """How a server is doing."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    version: str = ""
    uptime_s: int = 0
    used_memory_bytes: int = 0
    max_memory_bytes: int = 0
    """0 where there is no limit."""
    memory_percent: float = 0.0
    policy: str = ""
    """What goes when the memory is full."""
    fragmentation: float = 0.0
    clients: int = 0
    blocked_clients: int = 0
    hit_percent: float = 0.0
    evicted_keys: int = 0
    expired_keys: int = 0
    rejected_connections: int = 0
    keys: int = 0
    keys_with_expiry: int = 0
    role: str = ""
    replicas: int = 0
    link_status: str = ""
    """For a replica, whether it hears from its primary."""
    persistence: str = ""
    """`rdb`, `aof`, `rdb and aof` or `none`."""
    last_save_ok: bool = True
    changes_since_save: int = 0
    slowest: tuple[SlowCommand, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


async def read_redis_health(name: str, url: str, *, most: int) -> RedisHealth:
    """Ask a server for its statistics and its slow log; nothing is written, and no key is read.

    Raises:
        MissingExtra: `redis` is not installed.
    """
    try:
        from redis import asyncio as library
        from redis.exceptions import RedisError
    except ImportError as error:
        raise MissingExtra("Looking at Redis", "redis") from error
    notes: list[str] = []
    try:
        async with asyncio.timeout(WHOLE_S):
            dial = cast("Callable[..., _Client]", library.from_url)  # pyright: ignore[reportUnknownMemberType]  # its own types say less
            client = dial(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
            try:
                info = await client.info()
                try:
                    slow = await client.slowlog_get(128)
                except RedisError as error:
                    slow = []
                    notes.append(f"slow log: {clean(str(error), 150)}")
            finally:
                await client.aclose()
    except (RedisError, OSError, ValueError, TimeoutError) as error:
        # What the library says may hold the address, and so the password.
        return RedisHealth(status="unavailable", reason=f"The server cannot be reached: {type(error).__name__}.")
    return _judge(name, _build(info, slow, notes, most=most))


def _number(info: Info, name: str) -> float:
    value = info.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _whole(info: Info, name: str) -> int:
    return int(_number(info, name))


def _text(info: Info, name: str) -> str:
    value = info.get(name, "")
    return clean(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value), 200)


def _build(info: Info, slow: list[Info], notes: list[str], *, most: int) -> RedisHealth:
    asked = _number(info, "keyspace_hits") + _number(info, "keyspace_misses")
    limit = _number(info, "maxmemory")
    spaces = [cast("Info", value) for key, value in info.items() if key.startswith("db") and isinstance(value, dict)]
    # The names of the parts that write to disk; a save rule is not in the statistics, a save that happened is.
    has_log = _whole(info, "aof_enabled") == 1
    has_file = _whole(info, "rdb_saves") > 0 or _whole(info, "rdb_changes_since_last_save") == 0
    ordered = sorted(slow, key=lambda one: -_number(one, "duration"))
    return RedisHealth(
        status="ok",
        version=_text(info, "valkey_version") or _text(info, "redis_version"),
        uptime_s=_whole(info, "uptime_in_seconds"),
        used_memory_bytes=_whole(info, "used_memory"),
        max_memory_bytes=int(limit),
        memory_percent=round(100 * _number(info, "used_memory") / limit, 1) if limit else 0.0,
        policy=_text(info, "maxmemory_policy"),
        fragmentation=_number(info, "mem_fragmentation_ratio"),
        clients=_whole(info, "connected_clients"),
        blocked_clients=_whole(info, "blocked_clients"),
        hit_percent=round(100 * _number(info, "keyspace_hits") / asked, 1) if asked else 100.0,
        evicted_keys=_whole(info, "evicted_keys"),
        expired_keys=_whole(info, "expired_keys"),
        rejected_connections=_whole(info, "rejected_connections"),
        keys=sum(_whole(space, "keys") for space in spaces),
        keys_with_expiry=sum(_whole(space, "expires") for space in spaces),
        role=_text(info, "role"),
        replicas=_whole(info, "connected_slaves"),
        link_status=_text(info, "master_link_status"),
        persistence=" and ".join([*(["rdb"] if has_file else []), *(["aof"] if has_log else [])]) or "none",
        last_save_ok=_text(info, "rdb_last_bgsave_status") in ("ok", ""),
        changes_since_save=_whole(info, "rdb_changes_since_last_save"),
        slowest=tuple(
            SlowCommand(
                command=_text(one, "command").split(" ")[0][:40].upper(),
                ms=round(_number(one, "duration") / 1000, 2),
                at=datetime.fromtimestamp(_number(one, "start_time"), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
            for one in ordered[:most]
        ),
        notes=tuple(notes),
    )


def _judge(name: str, health: RedisHealth) -> RedisHealth:
    board = Board()
    if not health.max_memory_bytes:
        board.note(name, 1, "no-memory-limit", "medium", "nothing bounds its memory; set `maxmemory`")
    elif health.memory_percent >= 90:
        board.note(name, 1, "memory-full", "high", f"{health.memory_percent} % of its memory is used")
    if health.max_memory_bytes and health.policy == "noeviction":
        board.note(name, 1, "refuses-writes", "low", "when the memory is full, writes fail (`noeviction`)")
    if health.fragmentation > 1.5 and health.used_memory_bytes > 100_000_000:
        board.note(name, 1, "fragmented", "medium", f"it takes {health.fragmentation} times the memory that it uses")
    if health.evicted_keys:
        board.note(name, 1, "evictions", "medium", f"{health.evicted_keys} keys were thrown away for want of memory")
    if health.rejected_connections:
        board.note(name, 1, "rejections", "high", f"{health.rejected_connections} connections were turned away")
    if health.hit_percent < 80:
        board.note(name, 1, "misses", "low", f"only {health.hit_percent} % of reads find their key")
    if health.blocked_clients > 100:
        board.note(name, 1, "blocked", "low", f"{health.blocked_clients} clients wait")
    if not health.last_save_ok:
        board.note(name, 1, "save-failed", "critical", "the last save to disk failed")
    if health.role == "slave" and health.link_status != "up":
        board.note(name, 1, "replica-alone", "high", "the replica does not hear from its primary")
    if health.keys > 1000 and health.keys_with_expiry == 0:
        board.note(name, 1, "no-expiry", "low", "no key ever expires")
    if health.slowest and health.slowest[0].ms > 100:
        slowest = health.slowest[0]
        board.note(
            name, 1, "slow-command", "medium", f"`{slowest.command}` took {slowest.ms} ms, and all others waited"
        )
    return structs.replace(health, findings=board.build(name, most=100).findings)
