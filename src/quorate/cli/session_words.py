"""How is a session written for a person, and how are its facts read from the command line?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from quorate.cli.words import align, clean, clean_line, show_cost, show_duration, show_time
from quorate.codec.json import decode
from quorate.errors import InvalidInput, UnknownName
from quorate.messages import Message, ToolCall, ToolResult
from quorate.state.sessions import Session, SessionLimits, SessionUsage, TimelineEntry


def read_session_limits(given: Sequence[str], *, base: SessionLimits) -> SessionLimits:
    """Read limits written as `key=value` over those in `base`; `key=none` takes one away.

    Raises:
        UnknownName: There is no such limit.
        InvalidInput: A value does not fit.
    """
    values: dict[str, object] = {}
    for item in given:
        key, equals, text = item.partition("=")
        if not equals:
            raise InvalidInput(f"`--limit {item}` has no value: write it like `--limit max_runs=10`.")
        if key not in SessionLimits.__struct_fields__:
            raise UnknownName("session limit", key, SessionLimits.__struct_fields__)
        values[key] = None if text == "none" else text
    try:
        return msgspec.convert({**structs.asdict(base), **values}, SessionLimits, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"`--limit` is not a number: {error}. Write it like `--limit max_runs=10`.") from error


def read_metadata(text: str | None) -> dict[str, object] | None:
    """Read metadata from JSON, if any is given.

    Raises:
        InvalidInput: It is no JSON object.
    """
    return None if text is None else decode(text, dict[str, object], what="`--metadata`")


def describe(record: Session, *, most: int) -> str:
    """Say what a session is about, on one line."""
    tags = " ".join(f"#{tag}" for tag in record.tags)
    return clean_line(f"{record.title} {tags}".strip(), most=most)


def render_session(record: Session, usage: SessionUsage, refusal: str | None) -> list[str]:
    """Write what is known of a session, one fact a line."""
    limits = {name: value for name, value in structs.asdict(record.limits).items() if value is not None}
    rows = [
        ("session", record.id),
        ("status", f"{record.status}{f' ({clean_line(record.reason)})' if record.reason else ''}"),
        ("owner", clean_line(record.principal)),
        ("title", describe(record, most=200)),
        ("created", f"{show_time(record.created)} UTC"),
        ("updated", f"{show_time(record.updated)} UTC"),
        ("expires", f"{show_time(record.expires)} UTC" if record.expires is not None else ""),
        ("shared", clean_line(", ".join(record.shared_with))),
        ("limits", ", ".join(f"{name}={value:g}" for name, value in limits.items())),
        ("metadata", clean_line(msgspec.json.encode(record.metadata).decode(), most=200) if record.metadata else ""),
        (
            "from",
            f"{record.parent.session}, run {record.parent.run}, event {record.parent.seq}" if record.parent else "",
        ),
        ("used", f"{usage.runs} runs, {usage.usage.total_tokens} tokens, {show_cost(usage.cost_usd)}"),
        *(("mended", clean_line(words)) for words in record.recovered),
        ("turns", clean_line(refusal) if refusal else f'quorate run --session {record.id} "…"'),
    ]
    return align([row for row in rows if row[1]])


def render_run(entry: TimelineEntry) -> tuple[str, ...]:
    """Write one run of a session, as a row."""
    run = entry.run
    mark = f"beside {len(entry.beside)}" if entry.beside else ""
    took = show_duration(max(0.0, run.updated - run.created))
    return (
        run.run,
        run.status,
        show_time(run.created),
        took,
        show_cost(run.cost_usd),
        mark,
        clean_line(run.task, most=60),
    )


def render_message(message: Message) -> list[str]:
    """Write one message: its words, then what it calls or what was given."""
    lines: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            lines.append(f"{message.role}: calls {clean_line(part.name)}({clean_line(part.arguments, most=100)})")
        elif isinstance(part, ToolResult):
            content = part.content if isinstance(part.content, str) else f"({len(part.content)} parts)"
            lines.append(f"{message.role}: {clean_line(part.name)} gave {clean_line(content, most=200)}")
    text = clean(message.text)
    return [*([f"{message.role}: {text}"] if text else []), *lines]
