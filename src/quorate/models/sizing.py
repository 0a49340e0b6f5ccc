"""How large is a request, when several layers ask and it is counted once?"""

from __future__ import annotations

from quorate.messages import Message
from quorate.models.tokens import O200K, Family, TokenizerSource, count_request, estimate_request, find_family
from quorate.specs import OutputSpec, Request, ToolSpec

MAX_MODELS = 1024
MAX_REQUESTS = 64
"""Of how many requests it is remembered; each may be large."""
Parts = tuple[tuple[Message, ...], str, tuple[ToolSpec, ...], OutputSpec | None]


class Estimator:
    """Estimates the tokens of requests, and remembers the last ones: a route, a budget and a limit ask, with waits.

    Args:
        tokenizers: What really counts the tokens of some models, where a program has it.
    """

    __slots__ = ("_families", "_known", "_tokenizers")

    def __init__(self, *, tokenizers: TokenizerSource | None = None) -> None:
        self._tokenizers = tokenizers
        self._families: dict[str, Family] = {}
        self._known: dict[int, tuple[Parts, dict[str, int]]] = {}
        """The last requests, each held by its parts, so that no other is at its place, with its counts by family."""

    def __call__(self, request: Request, model: str = "") -> int:
        """Estimate what a request's input comes to for a model; see `estimate_request`."""
        family = self._families.get(model)
        if family is None:
            family = self._find_family(model)
        counts = self._find_counts(request)
        if self._tokenizers is not None:
            count = counts.get(model)
            if count is None:
                count = counts[model] = count_request(request, model, tokenizers=self._tokenizers).count
            return count
        count = counts.get(family.name)
        if count is None:
            count = counts[family.name] = estimate_request(request, model)
        return count

    def _find_counts(self, request: Request) -> dict[str, int]:
        """Find what was counted of a request; one that was only given other settings has the same parts."""
        place = id(request.messages)
        known = self._known.get(place)
        if known is not None:
            messages, instructions, tools, output = known[0]
            if (
                request.messages is messages
                and request.instructions is instructions
                and request.tools is tools
                and request.output is output
            ):
                return known[1]
        if len(self._known) >= MAX_REQUESTS:
            del self._known[next(iter(self._known))]
        counts: dict[str, int] = {}
        self._known[place] = ((request.messages, request.instructions, request.tools, request.output), counts)
        return counts

    def _find_family(self, model: str) -> Family:
        if len(self._families) >= MAX_MODELS:
            self._families.clear()
        family = self._families[model] = find_family(model) if model else O200K
        return family
