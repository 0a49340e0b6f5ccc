"""Do blobs in a bucket keep the contract of all blobs?"""

from collections.abc import AsyncGenerator

import pytest
from msgspec import structs
from tests.integration.state.artifacts.s3_server import BUCKET, open_s3_server

from quorate.ports import Store
from quorate.state.backends.memory import open_memory_store
from quorate.state.backends.s3 import open_s3_blobs
from quorate.testing.contracts import BlobsContract


class TestS3Blobs(BlobsContract):
    """row: E11"""

    @pytest.fixture
    async def store(self) -> AsyncGenerator[Store]:
        async with (
            open_memory_store() as store,
            open_s3_server() as server,
            open_s3_blobs(f"s3://{BUCKET}/some/prefix", config=server.config) as blobs,
        ):
            yield structs.replace(store, blobs=blobs)
