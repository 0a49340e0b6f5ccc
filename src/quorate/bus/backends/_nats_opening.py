"""How is a connection to NATS made, and why is there none?"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from pathlib import Path

from nats import errors

from quorate.bus.accounts.keys import read_public
from quorate.bus.backends._nats_ask import Asker
from quorate.bus.backends._nats_bus import NatsBus
from quorate.bus.backends._nats_check import find_server_faults, find_store_faults
from quorate.bus.backends._nats_connection import Connection
from quorate.bus.backends.nats import NatsLogin, NatsPatience, NatsTls, build_ssl
from quorate.bus.streams import check_streams
from quorate.bus.subjects import INBOX
from quorate.errors import InvalidInput, QuorateError, Unauthenticated, Unavailable
from quorate.ports.bus import StreamRule

_SEED = re.compile(rb"-+BEGIN USER NKEY SEED-+\s+([A-Z2-7]{40,80})\s+-+END USER NKEY SEED-+")


async def connect(
    urls: list[str], *, login: NatsLogin | None, tls: NatsTls | None, prefix: str, patience: NatsPatience
) -> Connection:
    """Connect to one of several servers.

    Raises:
        InvalidInput: The login or the certificates cannot be used.
        Unauthenticated: It does not let us in.
        Unavailable: None can be reached, or none can be trusted.
    """
    login = login or NatsLogin()
    await asyncio.to_thread(_check_files, login)
    is_secure = tls is not None or any(url.startswith("tls://") for url in urls)
    context = await asyncio.to_thread(build_ssl, tls or NatsTls()) if is_secure else None
    connection = Connection(
        window_bytes=patience.window_bytes,
        wait_s=patience.wait_s,
        longest_wait_s=patience.longest_wait_s,
        regroup_s=patience.regroup_s,
        is_secure=is_secure,
    )
    said: list[Exception] = []
    limit = asyncio.timeout(patience.connect_s)

    async def hear(error: Exception) -> None:
        said[:] = [error]
        connection.note_refusal(str(error))
        if not connection.did_connect and is_refusal(error):
            limit.reschedule(asyncio.get_running_loop().time())

    try:
        async with limit:
            await connection.connect(
                urls,
                name=f"quorate {prefix}",
                error_cb=hear,
                disconnected_cb=connection.note_loss,
                reconnected_cb=connection.note_return,
                closed_cb=connection.note_end,
                reconnect_to_server_handler=connection.choose_server,
                reconnect_time_wait=1,
                max_reconnect_attempts=patience.attempts,
                connect_timeout=patience.connect_s,  # pyright: ignore[reportArgumentType]
                ping_interval=patience.ping_s,  # pyright: ignore[reportArgumentType]
                pending_size=0,
                inbox_prefix=prefix,
                tls=context,
                tls_hostname=tls.hostname if tls is not None else None,
                user=login.user,
                password=login.password,
                token=login.token,
                user_credentials=login.credentials_file,
                nkeys_seed=login.nkey_file,
            )
    except TimeoutError:
        await close(connection, timeout_s=patience.connect_s)
        raise _explain(urls, login, said[0] if said else None) from (said[0] if said else None)
    except ValueError as error:  # a file of the login holds none
        await close(connection, timeout_s=patience.connect_s)
        raise InvalidInput(f"the NATS login by {login.kind} cannot be used: {error}") from error
    connection.did_connect = True
    connection.ready.set()
    return connection


def build_bus(connection: Connection, *, tenant: str, prefix: str, patience: NatsPatience) -> NatsBus:
    """Build what talks over a connection, and hears what becomes of it."""
    bus = NatsBus(connection, tenant=tenant, prefix=prefix, publish_timeout_s=patience.request_s)
    connection.watcher = bus
    return bus


async def check_settings(
    bus: NatsBus,
    urls: list[str],
    streams: tuple[StreamRule, ...],
    *,
    system: NatsLogin | None,
    tls: NatsTls | None,
    prefix: str,
    patience: NatsPatience,
) -> None:
    """Compare the server's settings with what ours must be.

    Raises:
        InvalidInput: They do not do, every one is named; or the streams do not hold together.
        Forbidden: We may not listen for answers.
    """
    asker, streams = Asker(bus.connection, prefix=prefix), check_streams(streams, tenant=bus.wire.tenant)
    await asker.begin(timeout_s=patience.request_s)
    faults = await find_server_faults(bus.connection, asker, streams, timeout_s=patience.request_s)
    if system is not None and streams:
        other = await connect(urls, login=system, tls=tls, prefix=INBOX, patience=patience)
        try:
            operator = Asker(other, prefix=INBOX)
            await operator.begin(timeout_s=patience.request_s)
            faults += await find_store_faults(operator, streams, timeout_s=patience.request_s)
        finally:
            await close(other, timeout_s=patience.drain_s)
    if faults:
        raise InvalidInput(
            f"the NATS server at {urls[0]!r} cannot be used as it is set: {'; '.join(faults)}.", faults=tuple(faults)
        )


async def close(connection: Connection, *, timeout_s: float) -> None:
    """Close a connection, if it was ever made."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await connection.end()


def is_refusal(error: Exception) -> bool:
    """Whether trying again is of no use."""
    words = str(error).lower()
    return isinstance(error, (errors.SecureConnWantedError, ssl.SSLCertVerificationError)) or "authorization" in words


def _check_files(login: NatsLogin) -> None:
    for name, path in (("credentials_file", login.credentials_file), ("nkey_file", login.nkey_file)):
        if path is None:
            continue
        try:
            content = Path(path).read_bytes()
            if name == "credentials_file":
                found = _SEED.search(content)
                if found is None or b"BEGIN NATS USER JWT" not in content:
                    raise InvalidInput("it has no token and seed of a user in it")
                content = found[1]
            read_public(content)
        except OSError as error:
            raise InvalidInput(f"the NATS login by {name} cannot be used: {error}") from error
        except InvalidInput as error:
            raise InvalidInput(f"the NATS login by {name} {path!r} cannot be used: {error.message}.") from None


def _explain(urls: list[str], login: NatsLogin, error: Exception | None) -> QuorateError:
    """Say why there is no connection."""
    where = ", ".join(repr(url) for url in urls)
    words = str(error) or type(error).__name__ if error is not None else "it does not answer"
    if "authorization" in words.lower():
        return Unauthenticated(f"NATS at {where} does not let us in: check the login{_describe_login(login)}.")
    if error is not None and is_refusal(error):
        return Unavailable(f"NATS at {where} cannot be trusted: {words}. There is no connection without TLS instead.")
    return Unavailable(f"NATS at {where} cannot be reached: {words}. Is it running, and is that its address?")


def _describe_login(login: NatsLogin) -> str:
    """Say with what we tried, and what to do about a key."""
    if login.nkey_file is not None:
        return (
            f" by the key in {login.nkey_file!r}, which may have been rotated, or the configuration was not reloaded "
            "since; `quorate nats config --check` compares them"
        )
    if login.credentials_file is not None:
        return f" by the credentials in {login.credentials_file!r}, which may have ended, or be another server's"
    if login.user is not None:
        return f" of {login.user!r}"
    return " by a token" if login.token is not None else "; there is none: set one, such as `bus.nkey_file`"
