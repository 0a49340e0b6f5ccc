"""Which models does a server of Responses have? It says so as for chat completions."""

from __future__ import annotations

from quorate.models.providers.openai.listing import decode, encode

__all__ = ["decode", "encode"]
