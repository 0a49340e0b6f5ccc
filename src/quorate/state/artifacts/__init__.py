"""How are bytes kept beside the log: once, with versions, owners and shares, and verified when they are read?"""

from quorate.state.artifacts.access import Access, Caller, Record, Share
from quorate.state.artifacts.keys import KeyRing, new_key, read_keys
from quorate.state.artifacts.search import ArtifactPage, ArtifactQuery, search_artifacts
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.artifacts.upkeep import (
    Checked,
    Retention,
    Swept,
    apply_retention,
    collect_garbage,
    rotate_keys,
    verify_artifacts,
)
from quorate.state.artifacts.view import RunArtifactsView

__all__ = [
    "Access",
    "ArtifactPage",
    "ArtifactQuery",
    "ArtifactStore",
    "Caller",
    "Checked",
    "KeyRing",
    "Record",
    "Retention",
    "RunArtifactsView",
    "Share",
    "Swept",
    "apply_retention",
    "collect_garbage",
    "new_key",
    "read_keys",
    "rotate_keys",
    "search_artifacts",
    "verify_artifacts",
]
