"""Who is asking, and what may they see?"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from quorate.errors import CorruptState
from quorate.ports import ArtifactInfo, Entry
from quorate.state.artifacts.names import digest_who

Access = Literal["run", "session", "principal", "tenant"]
"""Who may read an artifact beside those it is shared with: the run that saved it, its session, the principal it was
saved for, or everybody of the tenant."""

ShareKind = Literal["principal", "session", "tenant"]


class Caller(Struct, frozen=True, kw_only=True, gc=False):
    """On whose behalf something is asked for; comes from a credential or a run, never from a message."""

    tenant: str
    principal: str = "local"
    session: str | None = None
    run: str = ""
    """The run that asks; empty when a person or a program asks by itself."""
    operator: bool = False
    """Whether this is whoever runs the system, who may see and change all that the tenant has."""

    @property
    def home(self) -> str:
        """Within what the caller's names are counted: its session, else its run, else the principal."""
        if self.session:
            return f"session/{self.session}"
        return f"run/{self.run}" if self.run else f"principal/{digest_who(self.principal)}"


class Share(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """That somebody else may read an artifact."""

    kind: ShareKind
    """With whom: a principal, whoever works in a session, or everybody of the tenant."""
    who: str = ""
    """The principal or the session; empty for a tenant."""
    until: float | None = None
    """The wall time from which on it counts no more."""

    def is_for(self, caller: Caller, *, now: float) -> bool:
        """Whether it lets a caller in at the moment."""
        if self.until is not None and now >= self.until:
            return False
        if self.kind == "principal":
            return self.who == caller.principal
        return self.kind == "tenant" or (self.who != "" and self.who == caller.session)


class Record(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What is stored of an artifact beside its bytes."""

    info: ArtifactInfo
    access: Access = "run"
    step: str = ""
    """The key of the step that saved it, so that the same step does not save the same bytes twice."""
    shares: tuple[Share, ...] = ()

    @property
    def home(self) -> str:
        """Within what its versions are counted."""
        info = self.info
        return Caller(tenant=info.tenant, principal=info.principal, session=info.session or None, run=info.run).home


_decode_record = msgspec.json.Decoder(Record).decode


def owns(record: Record, caller: Caller) -> bool:
    """Whether an artifact is the caller's own: by where it was saved, or because they ask for it by themselves."""
    info = record.info
    if caller.tenant != info.tenant:
        return False
    if caller.operator or (not caller.run and caller.principal == info.principal):
        return True
    if record.access == "run":
        return info.run != "" and caller.run == info.run
    if record.access == "session":
        return info.session != "" and caller.session == info.session
    return record.access == "principal" and caller.principal == info.principal


def may_read(record: Record, caller: Caller, *, now: float) -> bool:
    """Whether a caller may know of an artifact and read it."""
    if caller.tenant != record.info.tenant:
        return False
    return (
        record.access == "tenant"
        or owns(record, caller)
        or any(share.is_for(caller, now=now) for share in record.shares)
    )


def may_change(record: Record, caller: Caller) -> bool:
    """Whether a caller may delete or share an artifact: it is theirs, and it was saved for the same principal."""
    info = record.info
    if caller.tenant != info.tenant:
        return False
    if caller.operator:
        return True
    return caller.principal == info.principal and (owns(record, caller) or record.access == "tenant")


def read_record(entry: Entry) -> Record:
    """Read a stored artifact.

    Raises:
        CorruptState: It does not verify.
    """
    try:
        return _decode_record(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptState(f"The artifact under {entry.key!r} does not verify: {error}.", key=entry.key) from error
