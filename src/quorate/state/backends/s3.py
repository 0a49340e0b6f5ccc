"""How are blobs kept in a bucket of an S3-speaking server?"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from quorate.addresses import is_loopback_name
from quorate.errors import (
    Forbidden,
    InvalidInput,
    MissingExtra,
    NotFound,
    QuorateError,
    StorageFull,
    Unauthenticated,
    Unavailable,
)
from quorate.ports import BlobInfo
from quorate.state.backends._checks import MAX_CHUNK, check_blob_name

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

PART = 8 << 20
"""Bytes of one part of an upload in parts; what is smaller goes in one piece."""
AT_ONCE = 2
PAGE = 1000
CONNECT_S = 5
ANSWER_S = 60
RETRIES = 3
_LAST = "~"
"""Sorts behind everything that a blob's name may hold."""
_FULL = ("StorageFull", "QuotaExceeded", "InsufficientStorage")
_STATUS = re.compile(r"status code: (\d{3})")


class S3Blobs:
    """A `Blobs` in a bucket; build it with `open_s3_blobs`."""

    def __init__(self, store: ObjectStore, where: str) -> None:
        self.where = where
        self._store = store

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Store bytes; see `quorate.ports.Blobs`."""
        import obstore

        check_blob_name(name)
        size, waiting = 0, bytearray()
        rest = aiter(chunks)
        async for chunk in rest:
            size += len(chunk)
            waiting += chunk
            if len(waiting) >= PART:
                break
        else:
            with self._explained(name):
                await obstore.put_async(self._store, name, bytes(waiting), use_multipart=False)
            return size

        broken: BaseException | None = None

        async def join() -> AsyncIterator[bytes]:
            nonlocal size, broken
            yield bytes(waiting)
            try:
                async for chunk in rest:
                    size += len(chunk)
                    yield bytes(chunk)
            except BaseException as error:
                broken = error
                raise

        try:
            with self._explained(name):
                await obstore.put_async(
                    self._store, name, join(), use_multipart=True, chunk_size=PART, max_concurrency=AT_ONCE
                )
        except QuorateError:
            if broken is not None:
                raise broken from None  # what the giver of the bytes raised, and the server only heard of
            raise
        return size

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """Yield bytes; see `quorate.ports.Blobs`."""
        import obstore

        check_blob_name(name)
        with self._explained(name):
            answer = await obstore.get_async(self._store, name)
            async for found in answer.stream(min_chunk_size=MAX_CHUNK // 4):
                piece = bytes(found)
                for begin in range(0, len(piece), MAX_CHUNK):
                    yield piece[begin : begin + MAX_CHUNK]

    async def delete(self, name: str) -> bool:
        """Forget a blob; see `quorate.ports.Blobs`. Of two that delete it at once, both may say that it was there."""
        import obstore

        check_blob_name(name)
        try:
            with self._explained(name):
                await obstore.head_async(self._store, name)
                await obstore.delete_async(self._store, name)
        except NotFound:
            return False
        return True

    async def list_blobs(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> list[BlobInfo]:
        """List blobs; see `quorate.ports.Blobs`."""
        import obstore

        found = list[BlobInfo]()
        if limit <= 0:
            return found
        # A server is asked by whole folders; where the prefix begins within one, the offset leads to it.
        folder, begin = prefix.rpartition("/")[0], max(after, _find_before(prefix))
        with self._explained(prefix):
            # One of the other forms of `list` is not typed.
            pages = obstore.list(  # pyright: ignore[reportUnknownMemberType]
                self._store, folder or None, offset=begin or None, chunk_size=min(PAGE, limit)
            )
            async for page in pages:
                for item in page:
                    name = item["path"]
                    if name > after and name.startswith(prefix):
                        found.append(BlobInfo(name=name, size=item["size"], saved=item["last_modified"].timestamp()))
                        if len(found) == limit:
                            return found
                    elif name > prefix and not name.startswith(prefix):
                        return found
        return found

    @contextmanager
    def _explained(self, name: str) -> Generator[None]:
        """Raise what the server or the network says as one of our errors."""
        from obstore import exceptions

        try:
            yield
        except QuorateError:
            raise
        except FileNotFoundError as error:
            raise NotFound(f"There is no blob {name!r}.", name=name) from error
        except exceptions.UnauthenticatedError as error:
            raise Unauthenticated(f"{self.where} takes no such credentials: look at the configuration.") from error
        except (PermissionError, exceptions.PermissionDeniedError) as error:
            raise Forbidden(
                f"{self.where} does not allow that with these credentials: look at the bucket's policy.", name=name
            ) from error
        except (exceptions.BaseError, OSError) as error:
            words = str(error)
            found = _STATUS.search(words)
            status = found[1] if found is not None else ""
            if status == "507" or any(word in words for word in _FULL):
                raise StorageFull(f"there is no room in {self.where}. Make room, then try again.") from error
            # Of a listing, obstore tells only what the server answered.
            if status == "404":
                raise NotFound(
                    f"There is no bucket at {self.where}: make it, or name another one.", name=name
                ) from error
            if status in ("401", "403"):
                raise Forbidden(
                    f"{self.where} does not allow that with these credentials: look at the bucket's policy.", name=name
                ) from error
            raise Unavailable(
                f"{self.where} cannot be reached or used: {words.splitlines()[0][:200]}. Try again later.", name=name
            ) from error


@asynccontextmanager
async def open_s3_blobs(
    url: str, *, config: Mapping[str, str] | None = None, client: Mapping[str, object] | None = None
) -> AsyncGenerator[S3Blobs]:
    """Open blobs in a bucket, such as `s3://bucket/prefix`; look whether it can be reached.

    Args:
        url: The bucket, and what all names in it begin with; `memory://` for one that lasts as long as the block.
        config: Endpoint, region and credentials by obstore's names (`endpoint`, `region`, `access_key_id`,
            `secret_access_key`, …); what is missing comes from the usual `AWS_…` variables.
        client: obstore's client options, such as `proxy_url`.

    Raises:
        MissingExtra: `obstore` is not installed.
        InvalidInput: The URL or the configuration cannot be used.
        Unavailable: The server cannot be reached.
    """
    try:
        from obstore.store import MemoryStore
    except ImportError as error:
        raise MissingExtra("Storage in buckets", "s3") from error
    if url == "memory://":
        yield S3Blobs(MemoryStore(), url)
        return
    blobs = S3Blobs(_build_store(url, dict(config or {}), dict(client or {})), url)
    try:
        await blobs.list_blobs(limit=1)
    except NotFound as error:
        raise InvalidInput(f"There is no bucket at {url!r}: make it, or name another one.") from error
    yield blobs


def _build_store(url: str, config: dict[str, str], client: dict[str, object]) -> ObjectStore:
    from obstore import exceptions
    from obstore.store import S3Store

    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidInput(f"blobs cannot be kept at {url!r}: write it like `s3://bucket/prefix`.")
    endpoint = urlsplit(config.get("endpoint", config.get("aws_endpoint", "")))
    if endpoint.scheme == "http" and is_loopback_name(endpoint.hostname or ""):
        client.setdefault("allow_http", True)  # what never leaves the machine may be plain
    client = {"connect_timeout": f"{CONNECT_S}s", "timeout": f"{ANSWER_S}s", **client}
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=ANSWER_S)}
    try:
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=cast("S3Config", config),  # obstore checks the names
            client_options=cast("ClientConfig", client),  # and these
            retry_config=retry,
        )
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise InvalidInput(f"the configuration of {url!r} cannot be used: {error}") from error


def _find_before(prefix: str) -> str:
    """Find what sorts before everything with a prefix, and behind everything else that does."""
    folder, slash, begin = prefix.rpartition("/")
    return f"{folder}{slash}{begin[:-1]}{chr(ord(begin[-1]) - 1)}{_LAST * 8}" if begin else ""
