"""Which addresses may a model call go to?"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from quorate.addresses import classify, find_literal, is_loopback_name
from quorate.errors import Forbidden, InvalidInput

__all__ = ["PUBLIC", "Guard", "check_base_url", "classify", "find_literal", "is_loopback_name"]

_UNFIT = re.compile(r"[^!-~]")


class Guard(Struct, frozen=True, kw_only=True):
    """What one client may reach."""

    scheme: Literal["http", "https"] = "https"
    """Plain `http` goes to loopback and private addresses alone."""
    private: bool = False
    """Whether loopback and private addresses are allowed: the local operator named the place."""

    def check(self, address: str, host: str) -> None:
        """Raise `Forbidden` unless `address`, which `host` stands for, may be reached."""
        kind = classify(address)
        shown = f"`{host}`" if host == address else f"`{host}` ({address})"
        if kind in ("loopback", "private"):
            if self.private:
                return
            raise Forbidden(
                f"{shown} is a {kind} address, and no operator named it: set the provider's base URL to allow it.",
                host=host,
            )
        if kind != "public":
            raise Forbidden(f"{shown} is a {kind} address, which is never reached.", host=host)
        if self.scheme == "http":
            raise Forbidden(f"{shown} is public, and `http` would show the key to everybody: use `https`.", host=host)


PUBLIC = Guard()


def check_base_url(url: str, *, what: str) -> Literal["http", "https"]:
    """Check what an operator wrote and return its scheme; the value is not repeated, as it may hold a password.

    Raises:
        InvalidInput: It is not a plain address of a service.
    """
    example = "write it like `https://host/v1`"
    if _UNFIT.search(url):
        raise InvalidInput(f"{what} holds a space or a character no address has: {example}.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"{what} is not a URL: {example}.") from error
    if parts.scheme not in ("http", "https"):
        raise InvalidInput(f"{what} must begin with `https://` or `http://`: {example}.")
    if not host:
        raise InvalidInput(f"{what} names no host: {example}.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(f"{what} may hold no user, password, query or fragment: {example}.")
    return "http" if parts.scheme == "http" else "https"
