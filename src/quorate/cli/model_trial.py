"""Does a model answer, how fast, for how much, and what is to be done when it does not?"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from msgspec import Struct

from quorate.cli.words import clean_line, show_cost, show_duration
from quorate.errors import QuorateError, UpstreamError
from quorate.ids import new_id
from quorate.messages import Reply, ReplyDone, Route, StreamItem, Usage, build_user_message
from quorate.ports import Model
from quorate.specs import Caller, ModelSettings, Request

MOST_TOKENS = 64
"""Enough for a word, and for a few thoughts before it."""
ADVICE = {
    "unauthenticated": "Set the key that the message names; `quorate models show NAME` lists what a provider reads.",
    "forbidden": "The address may not be reached: only an operator's own settings lead to private addresses.",
    "rate_limited": "The provider wants fewer calls: wait, or give it more credentials with `[[pool]]`.",
    "upstream_error": "Look whether the server runs and its address is right: `quorate models show NAME`.",
    "deadline_exceeded": "The model was too slow: try again, or give it more time with `[timeouts]`.",
    "invalid_input": "`quorate models list` shows the models that are known, and with `--remote` those served.",
    "not_found": "`quorate models list --remote --provider NAME` asks the provider which models it serves.",
    "budget_exceeded": "A budget of the gateway file is used up: `quorate costs` shows by whom.",
    "blocked_by_policy": "A guard of the gateway file refused: the message names its rule.",
    "missing_extra": "Install what the message names.",
}
"""What to do about each kind of failure."""


class Trial(Struct, frozen=True, kw_only=True):
    """What came of asking a model once."""

    model: str
    """The one that answered, named in full."""
    text: str
    streams: bool
    first_s: float
    """How long the first piece took."""
    total_s: float
    usage: Usage
    estimated: bool
    cost_usd: float | None
    request_id: str
    route: Route | None


async def try_model(model: Model, *, monotonic: Callable[[], float] = time.monotonic) -> Trial:
    """Ask a model for one word, as a stream where it gives one; raises what the model raises."""
    # The id makes each trial another question, so that no cache answers it.
    words = f"Answer with the one word: ready. ({new_id('test')})"
    request = Request(
        messages=(build_user_message(words),),
        settings=ModelSettings(max_tokens=MOST_TOKENS),
        caller=Caller(agent="models-test"),
    )
    began = monotonic()
    try:
        reply, first_s = await _read_stream(model, request, monotonic)
        streams = True
    except UpstreamError as error:
        if error.retryable or error.status is not None:
            raise
        # It answered, but not with a stream; it may in one piece.
        reply, streams = await model.complete(request), False
        first_s = monotonic() - began
    return Trial(
        model=reply.route.model if reply.route is not None else model.profile.name,
        text=reply.message.text,
        streams=streams,
        first_s=first_s,
        total_s=monotonic() - began,
        usage=reply.usage,
        estimated=reply.estimated,
        cost_usd=reply.cost_usd,
        request_id=reply.request_id,
        route=reply.route,
    )


async def _read_stream(model: Model, request: Request, monotonic: Callable[[], float]) -> tuple[Reply, float]:
    began, first_s, reply = monotonic(), None, None
    # Every stream is a generator, though the port promises less.
    async with aclosing(cast("AsyncGenerator[StreamItem]", model.stream(request))) as items:
        async for item in items:
            first_s = first_s if first_s is not None else monotonic() - began
            if isinstance(item, ReplyDone):
                reply = item.reply
    if reply is None or first_s is None:
        raise UpstreamError("The stream ended without a reply.")
    return reply, first_s


def render_trial(trial: Trial) -> list[tuple[str, ...]]:
    """Write what came of it, as rows."""
    tokens = f"{trial.usage.input_tokens} in, {trial.usage.output_tokens} out"
    rows = [
        ("model", trial.model),
        ("answer", clean_line(trial.text, most=80) or "(no words)"),
        ("streaming", "yes" if trial.streams else "no: it answers in one piece"),
        ("first piece", show_duration(trial.first_s)),
        ("whole answer", show_duration(trial.total_s)),
        ("tokens", f"{tokens} (our own estimate)" if trial.estimated else tokens),
        ("cost", show_cost(trial.cost_usd)),
    ]
    if trial.request_id:
        rows.append(("request id", clean_line(trial.request_id)))
    if trial.route is not None and trial.route.reason:
        rows.append(("chosen", clean_line(trial.route.reason)))
    return rows


def advise(error: QuorateError) -> str:
    """Say what to do about a failure."""
    return ADVICE.get(error.code, "`quorate doctor` looks at the rest of this machine.")
