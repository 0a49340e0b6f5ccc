"""How are artifacts and their shares shown, and how are they typed?"""

from __future__ import annotations

from quorate.cli.words import align, clean_line, show_time
from quorate.errors import InvalidInput
from quorate.state.artifacts import Record, Share


def render_record(record: Record) -> list[str]:
    """Write what is known of an artifact in columns."""
    info = record.info
    rows = [
        ("artifact", info.id),
        ("name", f"{clean_line(info.name)}, version {info.version}"),
        ("type", info.media_type),
        ("size", f"{info.size} bytes"),
        ("sha256", info.digest),
        ("saved", f"{show_time(info.created)} UTC"),
        ("for", clean_line(info.principal)),
        ("access", record.access),
        *([("session", info.session)] if info.session else []),
        *([("run", info.run)] if info.run else []),
        *((f"label {clean_line(label)}", clean_line(value)) for label, value in info.labels.items()),
        *(("shared with", describe_share(share)) for share in record.shares),
    ]
    return align(rows)


def describe_share(share: Share) -> str:
    """Say with whom something is shared, and how long."""
    who = "everybody of the tenant" if share.kind == "tenant" else f"{share.kind} {clean_line(share.who)}"
    return who if share.until is None else f"{who} until {show_time(share.until)} UTC"


def build_share(principal: str | None, session: str | None, *, everybody: bool, until: float | None = None) -> Share:
    """Build a share from what was typed.

    Raises:
        InvalidInput: None, or more than one, was named.
    """
    if (principal is not None) + (session is not None) + everybody != 1:
        raise InvalidInput("say with whom, and one at a time: `--principal WHO`, `--session SESSION` or `--everybody`.")
    if principal is not None:
        return Share(kind="principal", who=principal, until=until)
    return Share(kind="session", who=session, until=until) if session is not None else Share(kind="tenant", until=until)
