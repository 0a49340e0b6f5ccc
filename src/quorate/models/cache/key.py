"""What makes two requests the same, for the same people? One key for the cache and for calls under way.

The key is a MAC: who does not hold the secret can neither work out which key a request has nor learn from a key what
was asked. Whoever may not see an answer has another key for the same question.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Literal

import msgspec

from quorate.specs import Request

Scope = Literal["tenant", "user", "session"]
"""Who shares an answer: everybody of a tenant, one user's runs, or one session's."""
KEY_BYTES = 32
LEAST_SECRET_BYTES = 32
_FORMAT = 2

_encode = msgspec.msgpack.Encoder().encode


def build_key(request: Request, *, model: str, secret: bytes, scope: Scope = "user", policy: str = "") -> bytes | None:
    """Build the key of a request: keyed BLAKE2b over all that an answer depends on, and over who may see it.

    The step's key, the run and the agent are not part of it: they do not change the answer.

    Args:
        request: What is asked, and for whom.
        model: Whom it is asked: the profile's name.
        secret: Random for one process, or the operator's where processes share.
        scope: Who shares the answer.
        policy: The version of the rules in force; another version sees nothing of the older one's.

    Returns:
        32 bytes, or `None` for what cannot be written down, such as an object in `settings.extra`: share nothing then.
    """
    caller = request.caller
    whom = "" if scope == "tenant" else caller.principal
    where = (caller.session or caller.run) if scope == "session" else ""
    facts = (
        _FORMAT, scope, caller.tenant, whom, where, policy, model,
        request.instructions, request.tools, request.output, request.settings, request.messages,
    )  # fmt: skip
    try:
        written = _encode(facts)
    except (TypeError, ValueError, OverflowError, RecursionError):  # a foreign object, a lone surrogate, a huge number
        return None
    # Of what is small it is made without letting another thread go first.
    return blake2b(
        written, digest_size=KEY_BYTES, key=secret if len(secret) <= 64 else blake2b(secret).digest()
    ).digest()


class CacheKey:
    """Gives requests to one model their keys; the layers of one stack share it, so that each is worked out once."""

    def __init__(self, secret: bytes, *, model: str, scope: Scope = "user", policy: str = "") -> None:
        self._secret = secret
        self.model = model
        self.scope: Scope = scope
        self.policy = policy
        self._last: tuple[Request | None, bytes | None] = (None, None)

    def __call__(self, request: Request) -> bytes | None:
        """Return a request's key, or `None` where nothing may be shared; see `build_key`."""
        last, key = self._last
        if request is last:
            return key
        key = build_key(request, model=self.model, secret=self._secret, scope=self.scope, policy=self.policy)
        self._last = (request, key)
        return key

    def for_scope(self, scope: Scope) -> CacheKey:
        """Return what gives requests their keys for others who share: this very one where they are the same."""
        if scope == self.scope:
            return self
        return CacheKey(self._secret, model=self.model, scope=scope, policy=self.policy)


def new_secret() -> bytes:
    """Make the secret of one process, which nothing outside can know."""
    return os.urandom(LEAST_SECRET_BYTES)
