"""How is a model asked through LiteLLM, and its answer read as ours?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from typing import TypeVar, cast

import msgspec
from msgspec import structs

from quorate.errors import DeadlineExceeded, Incomplete, InvalidInput, QuorateError
from quorate.messages import Reply, ReplyDone, StreamItem
from quorate.models.cost import estimate_usage
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.providers.litellm.failure import build_error
from quorate.models.providers.litellm.library import Answered, Library, Streamed, check_library, load_library
from quorate.models.providers.openai import build_decoder, decode, encode
from quorate.models.target import Target
from quorate.specs import Request

Given = TypeVar("Given")
RESERVED = frozenset({
    "api_base", "api_key", "base_url", "callbacks", "custom_llm_provider", "fallbacks", "max_retries", "mock_response",
    "num_retries", "timeout",
})  # fmt: skip
"""Arguments of LiteLLM's that a request may not set."""
KEY = "LITELLM_API_KEY"
NO_MCP = "_skip_mcp_handler"
"""Without it LiteLLM loads a proxy's handler of MCP tools as soon as there are tools, and another package with it."""
END = b"[DONE]"


class LiteLLMModel:
    """A `Model` at a provider that LiteLLM knows; `litellm:groq/llama-3.3-70b-versatile` names one.

    Use it for providers that Quorate does not speak to by itself. LiteLLM is loaded at the first call. Its connections
    are its own: they are neither guarded nor closed here.

    Args:
        target: The model; its base URL is used where an operator named one.
        credentials: Gives `LITELLM_API_KEY`, else the provider's own name, such as `GROQ_API_KEY`; where it gives
            neither, LiteLLM looks into the environment for itself.
        timeouts: The deadlines of each call.

    Raises:
        MissingExtra: LiteLLM is not installed.
    """

    def __init__(self, target: Target, *, credentials: Credentials, timeouts: Timeouts = TIMEOUTS) -> None:
        check_library()
        self.profile = target.build_profile()
        self.target = target
        self._credentials = credentials
        self._timeouts = timeouts
        self._library: Library | None = None

    def __repr__(self) -> str:
        return f"<LiteLLMModel {self.target.name}>"

    async def complete(self, request: Request) -> Reply:
        """Answer in one piece; raises what the port says."""
        arguments, sent_bytes = self.build_arguments(request)
        times = self._timeouts
        library = await self._load()
        answered = cast("Answered", await self._wait(library.acompletion(**arguments), within_s=times.total_s))
        reply = decode(answered.model_dump_json(exclude_none=True).encode(), self.target)
        return self._book(library, reply, sent_bytes)

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        """Answer piece by piece; what fails once a piece was given out is `Incomplete`."""
        arguments, sent_bytes = self.build_arguments(request, stream=True)
        times = self._timeouts
        library = await self._load()
        decoder = build_decoder(self.target)
        given = False
        streamed: Streamed | None = None
        try:
            streamed = cast("Streamed", await self._wait(library.acompletion(**arguments), within_s=times.first_s))
            pieces = aiter(streamed)
            while True:
                piece = await self._wait(anext(pieces, None), within_s=times.idle_s if given else times.first_s)
                if piece is None:
                    break
                for item in decoder.feed(piece.model_dump_json(exclude_none=True).encode()):
                    given = True
                    yield item
            if streamed.received_finish_reason is None:
                raise Incomplete("The model's stream was cut.", limit="stream", partial=decoder.partial)
            decoder.feed(END)
            done = decoder.finish()
        except QuorateError as error:
            if not given or (isinstance(error, Incomplete) and "partial" in error.context):
                raise
            raise Incomplete(
                f"The model's reply is not whole: {error.message}",
                limit="stream",
                partial=decoder.partial,
                cause=error.code,
            ) from error
        finally:
            if streamed is not None:
                with suppress(Exception):  # whatever it raises, the call is over
                    await streamed.aclose()
        yield ReplyDone(self._book(library, done.reply, sent_bytes))

    async def aclose(self) -> None:
        """Nothing is held: LiteLLM keeps its connections to itself."""

    def build_arguments(self, request: Request, *, stream: bool = False) -> tuple[dict[str, object], int]:
        """Build what LiteLLM is asked, and say how many bytes it is.

        Raises:
            InvalidInput: It cannot carry the request.
        """
        for name in request.settings.extra:
            if name in RESERVED:
                raise InvalidInput(
                    f"`{name}` cannot be set by `extra`: where a model is asked is not the request's to say."
                )
        body = encode(request, self.target, stream=stream).body
        arguments = msgspec.json.decode(body, type=dict[str, object])
        arguments |= {"max_retries": 0, "num_retries": 0, "timeout": self._timeouts.total_s, NO_MCP: True}
        key = self._find_key()
        if key:
            arguments["api_key"] = key
        if self.target.base_url != self.target.provider.base_url:
            arguments["api_base"] = self.target.base_url
        return arguments, len(body)

    def _find_key(self) -> str:
        maker = self.target.model_name.partition("/")[0].upper().replace("-", "_")
        return (self._credentials(KEY) or self._credentials(f"{maker}_API_KEY") or "").strip()

    async def _load(self) -> Library:
        if self._library is None:
            self._library = await asyncio.to_thread(load_library)  # it takes seconds
        return self._library

    async def _wait(self, work: Awaitable[Given], *, within_s: float) -> Given:
        """Wait for something that LiteLLM does; raises what the port says."""
        try:
            async with asyncio.timeout(within_s):
                return await work
        except TimeoutError as error:
            raise DeadlineExceeded(f"LiteLLM gave nothing for {within_s:g} s.", layer="model") from error
        except Exception as error:  # LiteLLM's have no common class
            raise build_error(error, self.target, now=time.time()) from None  # they show headers and bodies

    def _book(self, library: Library, reply: Reply, sent_bytes: int) -> Reply:
        """Add what the call cost, by LiteLLM's own price list; nobody knows where it has no price."""
        usage = reply.usage
        estimated = not usage.total_tokens
        if estimated:
            usage = estimate_usage(sent_bytes=sent_bytes, received_chars=len(reply.message.text))
        try:
            costs = library.cost_per_token(
                model=self.target.model_name,
                prompt_tokens=usage.input_tokens,
                completion_tokens=usage.output_tokens,
                cache_read_input_tokens=usage.cached_tokens,
                cache_creation_input_tokens=usage.cache_write_tokens,
            )
            cost_usd = float(sum(costs))
        except Exception:  # it raises a bare one for an unknown price
            cost_usd = None
        return structs.replace(reply, usage=usage, cost_usd=cost_usd, estimated=estimated)
