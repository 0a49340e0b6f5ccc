"""What does `quorate approvals` do?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, RunId
from quorate.cli.person import get_user
from quorate.cli.progress import describe_call
from quorate.cli.words import align, clean, clean_line, show_duration, show_time
from quorate.errors import InvalidInput, NotFound
from quorate.events import ApprovalRequested, InputRequested
from quorate.runtime import Runtime
from quorate.runtime.questions import OpenQuestion, find_question, list_open
from quorate.tools.edits import build_edit

MOST_LISTED = 50
KINDS = {
    "approval": "may this call be made?",
    "unknown": "may this call be made again? Nobody knows whether it took effect.",
    "input": "words are wanted",
}

Key = Annotated[str | None, typer.Argument(metavar="KEY", help="Which question, if the run asks several.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded, and the model reads it.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who answers; your user name by default.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about what runs ask people."""
    group = typer.Typer(help="List, show and answer what runs ask people.", rich_markup_mode=None, no_args_is_help=True)
    group.command("list")(list_questions)
    group.command("show")(show_question)
    group.command("approve")(approve)
    group.command("reject")(reject)
    group.command("answer")(answer)
    app.add_typer(group, name="approvals")


def list_questions(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List what runs ask and nobody has answered, the oldest first."""

    async def work(runtime: Runtime) -> tuple[list[OpenQuestion], float]:
        return await runtime.questions(limit=limit), runtime.clock.now()

    found, now = run_with_runtime(work)
    if json:
        say_json(found)
        return
    say_all(
        align([(one.run, clean_line(one.key), one.agent, _describe_time(one, now), _describe(one)) for one in found])
        or ["No run asks anything. Those that rest for other reasons: `quorate runs list --status waiting`."]
    )
    if found:
        tell(f"See one in full: quorate approvals show {_name(found[0])}")


def show_question(run: RunId, key: Key = None, *, json: Json = False) -> None:
    """Show what a run asks, with the stored arguments in full."""

    async def work(runtime: Runtime) -> tuple[OpenQuestion, float]:
        return await _find(runtime, run, key), runtime.clock.now()

    found, now = run_with_runtime(work)
    if json:
        say_json(found)
    else:
        say_all(render_question(found, now))


def approve(
    run: RunId,
    key: Key = None,
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change an argument that may be; may be given several times."
        ),
    ] = None,
    arguments: Annotated[
        str | None, typer.Option("--arguments", metavar="JSON", help="All arguments to use instead.")
    ] = None,
    reason: Reason = "",
    by: By = None,
    json: Json = False,
) -> None:
    """Say yes to the exact call that a run asks about, or to one whose arguments you change where that is allowed."""

    async def work(runtime: Runtime) -> tuple[OpenQuestion, str]:
        found = await _find(runtime, run, key)
        asked = _get_arguments(found)
        edited = read_edit(asked, changes or (), arguments)
        await runtime.decide(run, found.key, approved=True, by=by or get_user(), reason=reason, arguments=edited)
        return found, asked if edited is None else edited

    found, used = run_with_runtime(work)
    if json:
        say_json({"run": run, "key": found.key, "approved": True, "by": by or get_user(), "arguments": used})
        return
    say(f"Approved: `{_get_name(found)}` with exactly")
    say_all(_quote(used))
    say(f"A worker goes on with it, or you do: quorate runs resume {run}")


def reject(run: RunId, key: Key = None, *, reason: Reason = "", by: By = None, json: Json = False) -> None:
    """Say no; the model reads who did and why, and goes on without the call."""

    async def work(runtime: Runtime) -> OpenQuestion:
        found = await _find(runtime, run, key)
        await runtime.decide(run, found.key, approved=False, by=by or get_user(), reason=reason)
        return found

    found = run_with_runtime(work)
    if json:
        say_json({"run": run, "key": found.key, "approved": False, "by": by or get_user(), "reason": reason})
    else:
        say(f"Rejected. A worker goes on with it, or you do: quorate runs resume {run}")


def answer(
    run: RunId,
    key: Key = None,
    *,
    text: Annotated[str, typer.Option("--text", "-t", help="What you tell the run.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Tell a run what it asked a person for."""

    async def work(runtime: Runtime) -> OpenQuestion:
        found = await _find(runtime, run, key)
        await runtime.answer(run, found.key, text=text, by=by or get_user())
        return found

    found = run_with_runtime(work)
    if json:
        say_json({"run": run, "key": found.key, "text": text, "by": by or get_user()})
    else:
        say(f"Answered. A worker goes on with it, or you do: quorate runs resume {run}")


def render_question(one: OpenQuestion, now: float) -> Iterator[str]:
    """Write a question in full: the stored arguments to the last character, and what an answer is bound to."""
    question = one.question
    rows = [
        ("run", one.run),
        ("key", clean_line(one.key)),
        ("asks", KINDS[one.kind]),
        ("agent", f"{one.agent}, asked for by {clean_line(one.principal)}"),
        ("task", clean_line(one.task)),
        ("asked", f"{show_time(one.asked)} UTC"),
        ("expires", _describe_expiry(one, now)),
    ]
    if isinstance(question, ApprovalRequested):
        rows += [
            ("answer by", f"somebody other than {clean_line(one.principal)}" if question.by_other else "anybody"),
            ("editable", clean_line(", ".join(question.editable)) or "nothing"),
            ("digest", question.digest),
            ("reason", clean_line(question.reason)),
            ("tool", clean_line(question.call.name)),
        ]
    yield from align(rows)
    yield ""
    if isinstance(question, InputRequested):
        yield "question, in full:"
        yield from _quote(question.question)
        if question.choices:
            yield "choices:"
            for choice in question.choices:
                yield from _quote(choice)
        yield ""
        yield f"Answer: quorate approvals answer {_name(one)} --text …"
        return
    yield f"arguments, in full ({len(question.call.arguments)} characters):"
    yield from _quote(question.call.arguments)
    yield ""
    edit = f" --set {shlex.quote(question.editable[0])}=…" if question.editable else ""
    yield f"Answer: quorate approvals approve {_name(one)}{f'   (or with{edit})' if edit else ''}"
    yield f"    or: quorate approvals reject {_name(one)} --reason …"


async def _find(runtime: Runtime, run: str, key: str | None) -> OpenQuestion:
    await runtime.show(run)
    events = await runtime.log.read(run)
    found = {one.key: one for one in list_open(events)}
    if key is not None:
        find_question(events, key)
        return found[key]
    if not found:
        raise NotFound(f"Run {run!r} asks nothing: look at it with `quorate runs show {run}`.", run=run)
    if len(found) > 1:
        keys = ", ".join(clean_line(one) for one in found)
        raise InvalidInput(f"Run {run!r} asks several things: name the one you answer, of {keys}.", run=run)
    return next(iter(found.values()))


def read_edit(asked: str, changes: Sequence[str], arguments: str | None) -> str | None:
    """Read what an approver changes, written as `field=value` or as whole arguments; `None` when it is nothing.

    Raises:
        InvalidInput: It cannot be read, or the call's own arguments cannot be edited.
    """
    if arguments is not None:
        if changes:
            raise InvalidInput("`--set` and `--arguments` exclude each other: give the change in one of them.")
        return arguments
    fields: dict[str, object] = {}
    known = _read_fields(asked)
    for item in changes:
        field, equals, text = item.partition("=")
        if not equals or not field:
            raise InvalidInput(f"`--set {item}` has no value: write it like `--set amount=80`.")
        fields[field] = text if isinstance(known.get(field), str) else _read_value(text)
    return build_edit(asked, fields) if fields else None


def _read_fields(asked: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(asked or "{}", type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"The call's own arguments cannot be edited: {error}. Reject it instead.") from error


def _read_value(text: str) -> object:
    """Read a value as it is typed: what reads as JSON is taken so, to the last digit, and everything else is text."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return msgspec.Raw(text.encode())


def _describe(one: OpenQuestion) -> str:
    question = one.question
    if isinstance(question, InputRequested):
        return clean_line(question.question, most=60)
    return clean_line(describe_call(question.call), most=60)


def _describe_time(one: OpenQuestion, now: float) -> str:
    if one.expires is None:
        return f"since {show_time(one.asked)}"
    return "expired" if now >= one.expires else f"{show_duration(one.expires - now)} left"


def _describe_expiry(one: OpenQuestion, now: float) -> str:
    if one.expires is None:
        return "never"
    left = "no answer counts any more" if now >= one.expires else f"{show_duration(one.expires - now)} left"
    return f"{show_time(one.expires)} UTC ({left})"


def _quote(text: str) -> list[str]:
    """Write somebody else's text so that no line of it can be taken for one of ours."""
    return [f"  | {line}" for line in clean(text).split("\n")]


def _name(one: OpenQuestion) -> str:
    return f"{one.run} {clean_line(shlex.quote(one.key))}"


def _get_arguments(one: OpenQuestion) -> str:
    return one.question.call.arguments if isinstance(one.question, ApprovalRequested) else "{}"


def _get_name(one: OpenQuestion) -> str:
    return clean_line(one.question.call.name) if isinstance(one.question, ApprovalRequested) else one.kind
