"""Does every log that is opened by itself keep the contract of the port?"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quorate.state.backends.memory import MemoryLog
from quorate.state.backends.sqlite import SqliteLog, open_sqlite_log
from quorate.testing.contracts import LogContract


class TestMemoryLog(LogContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog()


class TestSqliteLog(LogContract):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncGenerator[SqliteLog]:
        async with open_sqlite_log(tmp_path / "quorate.db") as log:
            yield log
