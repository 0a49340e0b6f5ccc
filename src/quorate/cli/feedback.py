"""What does `quorate feedback` do?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from quorate.cli.console import escape_json, say, say_all, say_json
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Force, Json, RunId
from quorate.cli.quantities import read_labels
from quorate.cli.transfer import write_file
from quorate.cli.words import align, clean_line, show_time
from quorate.errors import InvalidInput, NotFound
from quorate.models.feedback import Feedback, FeedbackStore, FeedbackSummary
from quorate.runtime import Runtime

MOST_LISTED = 100
THUMBS = {"up": 1.0, "down": 0.0}
Key = Annotated[str, typer.Option("--key", metavar="STEP", help="A step of the run, such as 2/model.")]
RunOption = Annotated[str, typer.Option("--run", metavar="RUN", help="Only that about a run.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about feedback."""
    group = typer.Typer(
        help="Say what an answer was worth; list, export and delete what was said.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("add")(add)
    group.command("list")(list_feedback)
    group.command("export")(export)
    group.command("delete")(delete)
    app.add_typer(group, name="feedback")


def add(
    run: RunId,
    *,
    rating: Annotated[
        str | None, typer.Option("--rating", metavar="WORD", help="up, down, or a number from 0 to 1.")
    ] = None,
    correction: Annotated[
        str, typer.Option("--correction", metavar="TEXT", help="What the answer should have been.")
    ] = "",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Whatever else there is to say.")] = "",
    key: Key = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be given several times.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what a run's answer was worth, or one of its steps."""
    score, labels = read_rating(rating), read_labels(label or ())

    async def work(runtime: Runtime) -> Feedback:
        said = Feedback(
            tenant=runtime.tenant, run=run, key=key, rating=score, correction=correction, comment=comment, labels=labels
        )
        return await _open(runtime).save(said)

    saved = run_with_runtime(work)
    if json:
        say_json(saved)
    else:
        say(f"Kept as {saved.id}.")


def list_feedback(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id; all runs when not given.")] = "",
    *,
    key: Key = "",
    after: Annotated[str, typer.Option("--after", metavar="PAGE", help="Go on where a page ended.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = MOST_LISTED,
    json: Json = False,
) -> None:
    """List what was said of a run, or of all, with the mean of the ratings."""

    async def work(runtime: Runtime) -> tuple[list[Feedback], FeedbackSummary]:
        store = _open(runtime)
        found = await store.list(runtime.tenant, run=run, key=key, after=after, limit=limit)
        return found, await store.summarize(runtime.tenant, run=run)

    found, summary = run_with_runtime(work)
    if json:
        following = f"{found[-1].run}/{found[-1].id}" if len(found) == limit else ""
        say_json({"feedback": found, "summary": summary, "next": following})
        return
    say_all(align([_render(one) for one in found]) or ["There is no feedback."])
    if found:
        mean = "no ratings" if summary.rating is None else f"{summary.rating:.2f} on average of {summary.rated} ratings"
        say(f"{summary.count} {'entry' if summary.count == 1 else 'entries'}, {mean}")


def export(
    file: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to.")] = None,
    *,
    run: RunOption = "",
    force: Force = False,
) -> None:
    """Write feedback as lines of JSON, for learning and evaluation elsewhere."""

    async def work(runtime: Runtime) -> None:
        lines = _open(runtime).export(runtime.tenant, run=run)
        if file is not None:
            await write_file(file, lines, lambda _: None, force=force)
            return
        async for line in lines:
            sys.stdout.write(escape_json(line.decode().rstrip("\n")) + "\n")

    run_with_runtime(work)
    if file is not None:
        say(f"Written to {file}.")


def delete(
    run: RunId,
    id: Annotated[str, typer.Argument(metavar="ID", help="Which one; all of the run when not given.")] = "",
    *,
    json: Json = False,
) -> None:
    """Forget what was said of a run."""

    async def work(runtime: Runtime) -> int:
        return await _open(runtime).delete(runtime.tenant, run, id)

    gone = run_with_runtime(work)
    if id and not gone:
        raise NotFound(f"There is no feedback {id!r} of run {run!r}.", run=run)
    if json:
        say_json({"deleted": gone})
    else:
        say(f"{gone} deleted.")


def read_rating(word: str | None) -> float | None:
    """Read a rating: a thumb, or a number from 0 to 1.

    Raises:
        InvalidInput: It is neither.
    """
    if word is None or word in THUMBS:
        return THUMBS[word] if word else None
    try:
        score = float(word)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise InvalidInput(f"{word!r} is no rating: write `up`, `down`, or a number from 0 to 1.")
    return score


def _open(runtime: Runtime) -> FeedbackStore:
    return FeedbackStore(runtime.store.values, log=runtime.log, clock=runtime.clock)


def _render(feedback: Feedback) -> tuple[str, ...]:
    rating = "" if feedback.rating is None else f"{feedback.rating:.2f}"
    words = [feedback.comment, f"should be: {feedback.correction}" if feedback.correction else ""]
    words += [f"{name}={value}" for name, value in feedback.labels.items()]
    about = f"{feedback.run} {feedback.key}".rstrip()
    shown = clean_line("; ".join(word for word in words if word), most=90)
    return (feedback.id, show_time(feedback.created), clean_line(about), rating, clean_line(feedback.principal), shown)
