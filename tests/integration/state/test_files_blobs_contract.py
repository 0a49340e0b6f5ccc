"""Do blobs in files keep the contract of all blobs?"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import structs

from quorate.ports import Store
from quorate.state.backends.files import open_file_blobs
from quorate.state.backends.memory import open_memory_store
from quorate.testing.contracts import BlobsContract


class TestFileBlobs(BlobsContract):
    """row: E11"""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[Store]:
        async with open_memory_store() as store, open_file_blobs(tmp_path / "blobs") as blobs:
            yield structs.replace(store, blobs=blobs)
