"""What do callers send and read about artifacts?"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar.params import QueryParameter
from msgspec import Meta, Struct

from quorate.errors import InvalidInput
from quorate.ports import ArtifactInfo
from quorate.state.artifacts import Access, Record, Share

Who = Annotated[str, Meta(min_length=1, max_length=255)]
Labels = Annotated[list[str] | None, QueryParameter(name="label", max_items=32, description="As `name=value`.")]
Bound = Annotated[int, Meta(ge=0, le=10**15)]


class ShareRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With whom to share an artifact: one of the three."""

    principal: Annotated[str, Meta(min_length=1, max_length=255, examples=["bob"])] | None = None
    session: Who | None = None
    """Whoever works in a session."""
    everybody: bool = False
    """Everybody of the tenant."""
    until: float | None = None
    """The wall time at which it ends; it does not when not given."""


class CollectRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much to keep; without a bound, only bytes that no artifact names are taken away."""

    grace_s: Annotated[float, Meta(ge=60, le=1e10)] = 3600.0
    """Leave alone what is younger, as it may be on its way."""
    max_age_s: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    """Delete artifacts that are older."""
    max_count: Bound | None = None
    """Delete the oldest above so many."""
    max_bytes: Bound | None = None
    """Delete the oldest above so many bytes of all together."""


class ArtifactView(Struct, frozen=True, tag_field="object", tag="artifact", kw_only=True, omit_defaults=True):
    """What is known of an artifact; its bytes are at `/v1/artifacts/{id}/content`."""

    id: str
    name: str
    version: int
    """Counts 1, 2, 3 … for one name in one session, run or principal."""
    media_type: str
    """As it was said when it was saved."""
    size: int
    sha256: str
    created: float
    owner: str
    session: str = ""
    run: str = ""
    labels: dict[str, str] = {}


class ShareView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That somebody else may read an artifact."""

    kind: Literal["principal", "session", "tenant"]
    who: str = ""
    until: float | None = None


class ArtifactRecord(ArtifactView, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an artifact, and who may read it."""

    access: Access
    """Who may read it beside those it is shared with."""
    shares: tuple[ShareView, ...] = ()


class ArtifactsCollected(Struct, frozen=True, tag_field="object", tag="artifacts.collected", kw_only=True):
    """What was taken away."""

    deleted: list[ArtifactView]
    """Artifacts above a bound."""
    blobs: int
    """Blobs that no artifact named."""
    bytes: int


class ArtifactChecked(
    Struct, frozen=True, tag_field="object", tag="artifact.checked", kw_only=True, omit_defaults=True
):
    """Whether the bytes of an artifact are those that were saved."""

    id: str
    is_whole: bool


def view_artifact(info: ArtifactInfo) -> ArtifactView:
    """Build what a caller reads of an artifact."""
    return ArtifactView(
        id=info.id,
        name=info.name,
        version=info.version,
        media_type=info.media_type,
        size=info.size,
        sha256=info.digest,
        created=info.created,
        owner=info.principal,
        session=info.session,
        run=info.run,
        labels=info.labels,
    )


def view_record(record: Record) -> ArtifactRecord:
    """Build what a caller reads of an artifact with its shares."""
    info = record.info
    return ArtifactRecord(
        id=info.id,
        name=info.name,
        version=info.version,
        media_type=info.media_type,
        size=info.size,
        sha256=info.digest,
        created=info.created,
        owner=info.principal,
        session=info.session,
        run=info.run,
        labels=info.labels,
        access=record.access,
        shares=tuple(ShareView(kind=one.kind, who=one.who, until=one.until) for one in record.shares),
    )


def build_share(principal: str | None, session: str | None, *, everybody: bool, until: float | None = None) -> Share:
    """Build a share from what was asked for.

    Raises:
        InvalidInput: Nobody, or more than one, is named.
    """
    if (principal is not None) + (session is not None) + everybody != 1:
        raise InvalidInput("say with whom, and one at a time: `principal`, `session` or `everybody`.")
    if principal is not None:
        return Share(kind="principal", who=principal, until=until)
    return Share(kind="session", who=session, until=until) if session is not None else Share(kind="tenant", until=until)


def read_labels(given: list[str] | None) -> dict[str, str]:
    """Read labels written as `name=value`.

    Raises:
        InvalidInput: One has no value.
    """
    found: dict[str, str] = {}
    for label in given or ():
        name, equals, value = label.partition("=")
        if not equals:
            raise InvalidInput(f"label {label[:80]!r} has no value: write it like `label=host=web-1`.")
        found[name] = value
    return found
