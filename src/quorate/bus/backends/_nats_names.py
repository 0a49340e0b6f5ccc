"""What are the streams and consumers of ours called at a NATS server, and where is it asked about them?"""

from __future__ import annotations

API = "$JS.API"
ACK = "$JS.ACK"
"""What the subjects begin with at which work is answered."""
WORKERS = "workers"
"""The consumer that all workers of a queue share."""


def build_stream_name(tenant: str, name: str) -> str:
    """Build what a stream is called at the server; tenants that share an account share no stream."""
    return f"{tenant}_{name}"
