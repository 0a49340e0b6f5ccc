"""Do secrets of the settings stay out of what tools say, and ordinary words in it?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from quorate.messages import Image, Text, ToolCall, ToolResult
from quorate.ports import RunContext
from quorate.runtime.hiding import Hidden, hide_secrets, is_telling
from quorate.settings import Settings
from quorate.specs import ToolSpec

KEY, LONGER = "sk-canary-0123456789", "sk-canary-0123456789-and-more"


class Said:
    """A toolset that says what it was given to say."""

    def __init__(self, content: str | tuple[Text | Image, ...]) -> None:
        self.content = content

    def specs(self) -> Sequence[ToolSpec]:
        return ()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        return ToolResult(call_id="c", name="n", content=self.content)


async def tell(content: str | tuple[Text | Image, ...]) -> object:
    hidden = Hidden(Said(content), lambda: [KEY, LONGER, "short", "http://127.0.0.1:8000/v1"])
    context: RunContext[object] = None  # type: ignore[assignment]  # nothing here looks at it
    return (await hidden.call(ToolCall(id="c", name="n", arguments="{}"), context)).content


async def test_secrets_are_stars_in_texts_and_parts() -> None:
    """part of row C20"""
    assert await tell(f"KEY={LONGER} {KEY}") == "KEY=******** ********"
    picture = Image(media_type="image/png", data=b"x")
    assert await tell((Text(text=KEY), picture)) == (Text(text="********"), picture)
    assert await tell("short http://127.0.0.1:8000/v1") == "short http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("secret", "telling"),
    [("hunter2", False), (KEY, True), ("redis://:pass@host/0", True), ("https://openai.internal/v1", False)],
)
def test_what_is_looked_for(secret: str, telling: bool) -> None:
    assert is_telling(secret) is telling


def test_nothing_is_put_around_tools_where_nothing_is_secret() -> None:
    said = Said("")
    assert hide_secrets(said, Settings()) is said
