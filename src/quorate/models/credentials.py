"""Where does a provider's key come from, and what is said when there is none?"""

from __future__ import annotations

import re
from collections.abc import Callable

from quorate.errors import Unauthenticated
from quorate.models.facts import Provider

Credentials = Callable[[str], str | None]
"""Gives the value for an environment name such as `OPENAI_API_KEY`, or `None`; asked anew for every call."""

_UNFIT = re.compile(r"[^!-~]")


def find_token(provider: Provider, credentials: Credentials) -> str | None:
    """Find the bearer token that stands for a provider's key; `None` where there is none.

    Raises:
        Unauthenticated: It holds what no header can carry; its value is not shown.
    """
    if provider.token_env is None:
        return None
    return _check(provider, provider.token_env, (credentials(provider.token_env) or "").strip()) or None


def find_key(provider: Provider, credentials: Credentials) -> str | None:
    """Find a provider's key; `None` for a provider that needs none, or where a token stands for it.

    Raises:
        Unauthenticated: There is none, or it holds what no header can carry; its value is not shown.
    """
    if provider.key_env is None:
        return None
    key = (credentials(provider.key_env) or "").strip()
    if not key:
        if find_token(provider, credentials) is not None:
            return None
        other = f" or `{provider.token_env}`" if provider.token_env else ""
        raise Unauthenticated(
            f"`{provider.name}` needs a key: set `{provider.key_env}`{other}, "
            "or use `--model playbook`, which needs none.",
            provider=provider.name,
            variable=provider.key_env,
        )
    return _check(provider, provider.key_env, key)


def _check(provider: Provider, name: str, value: str) -> str:
    if _UNFIT.search(value):
        raise Unauthenticated(
            f"`{name}` holds a space or a character no key has: set it to the key alone.",
            provider=provider.name,
            variable=name,
        )
    return value
