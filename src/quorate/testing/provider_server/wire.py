"""What does each format have to say about how it is served?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorate.testing.provider_server.script import Answer, Sent


class Wire(Protocol):
    """One format, as pure functions; the server does the sending, and the faults."""

    stream_type: str
    """The content type of a stream."""

    def is_allowed(self, sent: Sent, key: str) -> bool:
        """Whether a request bears the key."""
        ...

    def is_stream(self, sent: Sent) -> bool:
        """Whether a request asks for a stream."""
        ...

    def build_body(self, answer: Answer, sent: Sent) -> bytes:
        """Build an answer in one piece; `sent.path` says whether it is a reply, vectors, or a list of models."""
        ...

    def build_frames(self, answer: Answer, sent: Sent) -> Sequence[bytes]:
        """Build a streamed answer, each frame with what ends it."""
        ...

    def build_error(self, status: int, code: str) -> bytes:
        """Build the body of a refusal."""
        ...

    def build_fault(self, code: str) -> bytes:
        """Build the frame by which a stream that began well says that the provider failed."""
        ...
