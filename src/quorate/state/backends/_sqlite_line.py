"""How does a part of a SQLite store ask its threads?"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from quorate.state.backends._lane import Lane
from quorate.state.backends._sqlite_commit import Change, Write, Writing
from quorate.state.backends._sqlite_read import Answer, Question, Reading

T = TypeVar("T")


class Line(Struct, frozen=True, gc=False):
    """The thread that writes, and one that reads."""

    writer: Lane[Writing]
    reader: Lane[Reading]

    async def ask(self, answer: Answer[T]) -> T:
        """Read something."""
        job = Question(answer)
        await self.reader.put(job)
        return await job.future

    async def change(self, write: Write[T], *, size: int = 0, run: str | None = None) -> T:
        """Change something, durably; a change that is cancelled may still be made."""
        job = Change(write, size=size, run=run)
        await self.writer.put(job)
        return await job.future
