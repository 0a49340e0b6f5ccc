"""Where does a provider's key come from, and what is said when there is none?"""

from __future__ import annotations

import re
from collections.abc import Callable

from quorate.errors import Unauthenticated
from quorate.models.facts import Provider

Credentials = Callable[[str], str | None]
"""Gives the value for an environment name such as `OPENAI_API_KEY`, or `None`; asked anew for every call."""

_UNFIT = re.compile(r"[^!-~]")


def find_key(provider: Provider, credentials: Credentials) -> str | None:
    """Find a provider's key; `None` for a provider that needs none.

    Raises:
        Unauthenticated: There is none, or it holds what no header can carry; its value is not shown.
    """
    if provider.key_env is None:
        return None
    key = (credentials(provider.key_env) or "").strip()
    if not key:
        raise Unauthenticated(
            f"`{provider.name}` needs a key: set `{provider.key_env}`, or use `--model playbook`, which needs none.",
            provider=provider.name,
            variable=provider.key_env,
        )
    if _UNFIT.search(key):
        raise Unauthenticated(
            f"`{provider.key_env}` holds a space or a character no key has: set it to the key alone.",
            provider=provider.name,
            variable=provider.key_env,
        )
    return key
