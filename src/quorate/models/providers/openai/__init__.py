"""How does one talk to OpenAI's chat completions, and to the many servers that imitate them?"""

from __future__ import annotations

from quorate.models.providers.openai.failure import decode_error
from quorate.models.providers.openai.reply import decode
from quorate.models.providers.openai.request import build_headers, build_url, encode
from quorate.models.providers.openai.stream import StreamDecoder, build_decoder

__all__ = ["StreamDecoder", "build_decoder", "build_headers", "build_url", "decode", "decode_error", "encode"]
