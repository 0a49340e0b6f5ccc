"""How alike are two texts that share no word, where an embedder says so?"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import Literal

from quorate.context.memory.rank import normalize, unpack
from quorate.context.memory.rows import Row
from quorate.context.memory.words import MAX_QUERY
from quorate.errors import QuorateError
from quorate.ports import Embedder
from quorate.specs import Caller, EmbedRequest

MAX_DIMENSIONS = 8192


class Likeness:
    """Texts as vectors of length 1; none where there is no embedder."""

    def __init__(self, embedder: Embedder | None, caller: Caller) -> None:
        self.name = embedder.name if embedder is not None else ""
        self._embedder = embedder
        self._caller = caller

    async def embed(
        self, text: str, *, purpose: Literal["document", "query"]
    ) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Turn a text into a vector; where that fails, words alone do, and a note says so."""
        if self._embedder is None or not text.strip():
            return (), ()
        if purpose == "query":
            text = text[:MAX_QUERY]
        try:
            found = await self._embedder.embed(EmbedRequest(texts=(text,), purpose=purpose, caller=self._caller))
        except QuorateError as error:
            return (), (f"The embedder {self.name!r} gave no vector ({error.code}): words alone count.",)
        vector = normalize(found.vectors[0]) if len(found.vectors) == 1 else ()
        if not vector or len(vector) > MAX_DIMENSIONS:
            return (), (f"The embedder {self.name!r} gave no vector that can be compared: words alone count.",)
        return vector, ()

    def compare(self, vector: Sequence[float], rows: Sequence[Row]) -> float | None:
        """Compare a question with a memory, from 0 to 1; `None` where no note has a vector of this embedder."""
        for row in rows:
            if row.note.embedder == self.name:
                found = unpack(row.note.vector)
                return max(0.0, min(1.0, sum(map(mul, vector, found)))) if len(found) == len(vector) else None
        return None
