"""What is used of LiteLLM, and how is it loaded?"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from quorate.errors import MissingExtra

FEATURE = "A `litellm:` model"
EXTRA = "litellm"
QUIET: dict[str, object] = {
    "telemetry": False,
    "suppress_debug_info": True,
    "drop_params": False,  # what a model cannot do is refused, not left out
    "modify_params": False,
    "num_retries": 0,  # the gateway retries, and nobody else
}


class Answered(Protocol):
    """A reply, or a piece of one: a model of pydantic's in OpenAI's form."""

    def model_dump_json(self, *, exclude_none: bool) -> str:
        """Write it as JSON."""
        ...


class Streamed(Protocol):
    """A reply that comes piece by piece."""

    received_finish_reason: str | None
    """Why the model stopped, in the provider's words; `None` when it never said so, and LiteLLM made a reason up."""

    def __aiter__(self) -> AsyncIterator[Answered]:
        """Give the pieces."""
        ...

    async def aclose(self) -> None:
        """End the call."""
        ...


class Library(Protocol):
    """LiteLLM, as far as it is used."""

    async def acompletion(self, **arguments: object) -> object:
        """Ask a model; gives `Answered`, or `Streamed` where a stream is asked for."""
        ...

    def cost_per_token(self, **arguments: object) -> tuple[float, float]:
        """Work out what the input and the output cost in US dollars; raises when the price is unknown."""
        ...


def check_library() -> None:
    """Check that LiteLLM is installed, without loading it.

    Raises:
        MissingExtra: It is not.
    """
    is_there = sys.modules["litellm"] if "litellm" in sys.modules else find_spec("litellm")
    if is_there is None:
        raise MissingExtra(FEATURE, EXTRA)


def load_library() -> Library:
    """Load LiteLLM; the first time takes seconds.

    Raises:
        MissingExtra: It is not installed.
    """
    # Without this it fetches its price list from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        library = import_module("litellm")
    except ImportError as error:
        raise MissingExtra(FEATURE, EXTRA) from error
    for name, value in QUIET.items():
        setattr(library, name, value)
    return cast("Library", library)  # the tests run it
