"""What is a model to be trained on, and what does one predict?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class MlTrainingJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A training, from its order to its result."""

    id: str
    task: str
    """What is learnt, such as `routing`."""
    dataset: str
    """Which examples: an artifact's handle or a query's name."""
    algorithm: str = ""
    parameters: dict[str, float] = field(default_factory=dict[str, float])
    status: Literal["queued", "running", "completed", "failed", "cancelled"] = "queued"
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    artifact: str = ""
    """The trained model's handle, once there is one."""
    created: float = 0.0
    """Wall time in seconds since 1970 (UTC)."""
    ended: float | None = None
    message: str = ""
    """Why it failed."""


class MlPrediction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a trained model says of one case."""

    id: str
    model: str
    version: str = "1"
    label: str = ""
    value: float | None = None
    """The number, where a number is predicted."""
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """How likely each label is."""
    features: dict[str, float] = field(default_factory=dict[str, float])
    created: float = 0.0
    """Wall time in seconds since 1970 (UTC)."""
