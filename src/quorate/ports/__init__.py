"""Which few seams can be replaced, and what does each promise?

A port exists only when two real implementations do; each has one shared contract suite in `quorate.testing.contracts`.
"""

from quorate.ports.run import (
    ArtifactInfo,
    Embedder,
    Model,
    RunArtifacts,
    RunContext,
    RunInfo,
    RunOwner,
    RunState,
    Services,
    Sharing,
    StateEntry,
    StateScope,
    Toolset,
)
from quorate.ports.store import BlobInfo, Blobs, Entry, KeyValue, Lease, Leases, Log, Notice, Outbox, RunOrder, Store

__all__ = [
    "ArtifactInfo",
    "BlobInfo",
    "Blobs",
    "Embedder",
    "Entry",
    "KeyValue",
    "Lease",
    "Leases",
    "Log",
    "Model",
    "Notice",
    "Outbox",
    "RunArtifacts",
    "RunContext",
    "RunInfo",
    "RunOrder",
    "RunOwner",
    "RunState",
    "Services",
    "Sharing",
    "StateEntry",
    "StateScope",
    "Store",
    "Toolset",
]
