"""How do secrets that the settings know stay out of what tools tell models, and so out of the record?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from quorate.messages import Text, ToolCall, ToolResult
from quorate.ports import RunContext, Toolset
from quorate.security.secrets import HIDDEN
from quorate.settings import Settings
from quorate.specs import ToolSpec

LEAST_CHARACTERS = 12
"""How long a secret must be to be looked for; shorter ones would blot out ordinary words."""


class Hidden:
    """A toolset in whose results no secret of the settings stands: a tool may read a file or an error that has one.

    Args:
        inner: The tools.
        find_secrets: Gives what may not be shown, as it is at that moment.
    """

    def __init__(self, inner: Toolset, find_secrets: Callable[[], Iterable[str]]) -> None:
        self.inner = inner
        self._find_secrets = find_secrets

    def specs(self) -> Sequence[ToolSpec]:
        """List the tools."""
        return self.inner.specs()

    async def call(self, call: ToolCall, context: RunContext[object]) -> ToolResult:
        """Make a call, and put stars in place of secrets in its result; raises what the inner toolset raises."""
        result = await self.inner.call(call, context)
        content = result.content
        if isinstance(content, str):
            told = self._hide(content)
            return result if told == content else structs.replace(result, content=told)
        parts = tuple(
            structs.replace(part, text=self._hide(part.text)) if isinstance(part, Text) else part for part in content
        )
        return result if parts == content else structs.replace(result, content=parts)

    def _hide(self, text: str) -> str:
        # The longest first: one secret may be a part of another one.
        for secret in sorted({one for one in self._find_secrets() if is_telling(one)}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


def is_telling(secret: str) -> bool:
    """Whether what the settings call a secret is one: an address without a login is what tools are asked about."""
    return len(secret) >= LEAST_CHARACTERS and ("://" not in secret or "@" in secret)


def hide_secrets(tools: Toolset, settings: Settings) -> Toolset:
    """Keep the secrets of the settings out of what tools say; where there are none, they are as they were."""
    return Hidden(tools, settings.list_secret_texts) if settings.list_secrets() else tools
