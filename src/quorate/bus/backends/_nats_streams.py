"""How do our rules for streams become streams and consumers of a NATS server?"""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from quorate.bus.backends._nats_ask import Answer, Asker
from quorate.bus.backends._nats_names import API, WORKERS, build_stream_name
from quorate.bus.streams import is_lossless
from quorate.errors import Forbidden, InvalidInput, NotFound
from quorate.ports.bus import StreamRule

MAX_ACK_PENDING = 20_000
INACTIVE_S = 60.0
"""After how long without a reader the server forgets where one was."""
_SECOND = 1_000_000_000
_IN_USE = 10058


class StreamConfig(Struct, kw_only=True):
    """What a stream is, as the server knows it."""

    name: str
    subjects: tuple[str, ...]
    retention: str
    discard: str
    max_msgs: int
    max_bytes: int
    max_age: int = 0
    duplicate_window: int
    num_replicas: int
    storage: str = "file"
    max_consumers: int = -1
    max_msg_size: int = -1
    max_msgs_per_subject: int = -1
    allow_direct: bool = True
    allow_msg_ttl: bool = True


class StreamAnswer(Answer, frozen=True):
    """What the server says of a stream."""

    config: dict[str, object] | None = None


class ConsumerConfig(Struct, kw_only=True, omit_defaults=True):
    """What a consumer is, as the server knows it."""

    name: str
    durable_name: str | None = None
    deliver_policy: str = ""
    opt_start_seq: int | None = None
    opt_start_time: str | None = None
    ack_policy: str = ""
    ack_wait: int | None = None
    max_deliver: int | None = None
    max_ack_pending: int | None = None
    filter_subject: str | None = None
    inactive_threshold: int | None = None
    mem_storage: bool = False
    num_replicas: int = 0


class ConsumerOrder(Struct, kw_only=True):
    """What is sent to make a consumer."""

    stream_name: str
    config: ConsumerConfig
    action: str = ""


def build_config(rule: StreamRule, tenant: str) -> StreamConfig:
    """Build a stream's configuration from its rule."""
    max_age = int((rule.max_age_s or 0) * _SECOND)
    window = int(rule.dedupe_s * _SECOND)
    return StreamConfig(
        name=build_stream_name(tenant, rule.name),
        subjects=rule.subjects,
        retention="workqueue" if rule.kind == "work" else "limits",
        discard="new" if is_lossless(rule) else "old",
        max_msgs=rule.max_messages,
        max_bytes=rule.max_bytes,
        max_age=max_age,
        duplicate_window=min(window, max_age) if max_age else window,
        num_replicas=rule.replicas,
    )


async def save_stream(asker: Asker, rule: StreamRule, *, tenant: str, timeout_s: float) -> None:
    """Make a stream as its rule says, or change the one that is there.

    Whoever may not make streams uses the one that is there, if it is the right one.

    Raises:
        InvalidInput: The server refuses it, such as for a replica more than it has servers.
        Forbidden: Our login may not, and it is not there.
        StorageFull: There is no room for it.
        Unavailable: JetStream does not answer.
    """
    config = build_config(rule, tenant)
    what = f"stream {rule.name!r} cannot be made"
    try:
        await asker.ask_server(
            f"{API}.STREAM.CREATE.{config.name}", config, StreamAnswer, timeout_s=timeout_s, what=what
        )
    except Forbidden as error:
        await _check_stream(asker, rule, config, why=error, timeout_s=timeout_s)
    except InvalidInput as error:
        if error.context.get("err_code") != _IN_USE:
            raise
        await asker.ask_server(
            f"{API}.STREAM.UPDATE.{config.name}",
            config,
            StreamAnswer,
            timeout_s=timeout_s,
            what=f"stream {rule.name!r} is another one at the server, and cannot be changed",
        )


async def _check_stream(
    asker: Asker, rule: StreamRule, config: StreamConfig, *, why: Forbidden, timeout_s: float
) -> None:
    what = f"stream {rule.name!r} cannot be looked at"
    try:
        found = await asker.ask_server(
            f"{API}.STREAM.INFO.{config.name}", None, StreamAnswer, timeout_s=timeout_s, what=what
        )
    except NotFound:
        raise Forbidden(
            f"stream {rule.name!r} is not there, and our login may not make it: open the bus with it once as somebody "
            "who may, such as a principal with the role `server`."
        ) from why
    there = found.config or {}
    wanted = {"subjects": list(config.subjects), "retention": config.retention, "storage": config.storage}
    faults = [
        f"`{name}` is {there.get(name)!r}, and should be {value!r}"
        for name, value in wanted.items()
        if there.get(name) != value
    ]
    if faults:
        raise InvalidInput(
            f"stream {rule.name!r} is another one at the server, and our login may not change it: {'; '.join(faults)}.",
            faults=tuple(faults),
        ) from why


async def save_workers(asker: Asker, rule: StreamRule, *, tenant: str, timeout_s: float) -> None:
    """Make the consumer that the workers of a queue share.

    How often work is given out is counted by the server, and bounded by whoever is given it: a server that stops
    giving it out would leave it in the queue for ever, and tell nobody who was not there.
    """
    config = ConsumerConfig(
        name=WORKERS,
        durable_name=WORKERS,
        deliver_policy="all",
        ack_policy="explicit",
        ack_wait=int(rule.ack_wait_s * _SECOND),
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
    )
    # Who may not make it may put work into the queue all the same; whoever takes it makes it.
    with suppress(Forbidden):
        await save_consumer(asker, build_stream_name(tenant, rule.name), config, timeout_s=timeout_s)


async def save_consumer(asker: Asker, stream: str, config: ConsumerConfig, *, timeout_s: float) -> None:
    """Make a consumer, or change the one that is there."""
    await asker.ask_server(
        f"{API}.CONSUMER.CREATE.{stream}.{config.name}",
        ConsumerOrder(stream_name=stream, config=config),
        Answer,
        timeout_s=timeout_s,
        what=f"consumer {config.name!r} of stream {stream!r} cannot be made",
    )
