"""How large is a request, when several layers ask and it is counted once?"""

from __future__ import annotations

from quorate.messages import Message
from quorate.models.tokens import O200K, Family, TokenizerSource, count_request, estimate_request, find_family
from quorate.specs import OutputSpec, Request, ToolSpec

MAX_MODELS = 1024


class Estimator:
    """Estimates the tokens of requests, and remembers the last one: a route, a budget and a limit ask in one breath.

    Args:
        tokenizers: What really counts the tokens of some models, where a program has it.
    """

    __slots__ = ("_counts", "_families", "_last", "_tokenizers")

    def __init__(self, *, tokenizers: TokenizerSource | None = None) -> None:
        self._tokenizers = tokenizers
        self._families: dict[str, Family] = {}
        self._last: tuple[tuple[Message, ...], str, tuple[ToolSpec, ...], OutputSpec | None] = ((), "", (), None)
        """What the last count was of; a request that was only given other settings has the same parts."""
        self._counts: dict[str, int] = {}
        """The last counts, by the family of models that they are for."""

    def __call__(self, request: Request, model: str = "") -> int:
        """Estimate what a request's input comes to for a model; see `estimate_request`."""
        family = self._families.get(model)
        if family is None:
            family = self._find_family(model)
        messages, instructions, tools, output = self._last
        if (
            request.messages is messages
            and request.instructions is instructions
            and request.tools is tools
            and request.output is output
        ):
            count = self._counts.get(family.name if self._tokenizers is None else model)
            if count is not None:
                return count
        else:
            self._last = (request.messages, request.instructions, request.tools, request.output)
            self._counts = {}
        if self._tokenizers is not None:
            count = self._counts[model] = count_request(request, model, tokenizers=self._tokenizers).count
            return count
        count = self._counts[family.name] = estimate_request(request, model)
        return count

    def _find_family(self, model: str) -> Family:
        if len(self._families) >= MAX_MODELS:
            self._families.clear()
        family = self._families[model] = find_family(model) if model else O200K
        return family
