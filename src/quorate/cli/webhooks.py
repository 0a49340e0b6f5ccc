"""What does `quorate webhooks` do?"""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from quorate.cli.console import say, say_all, say_json, tell
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, Yes, read_word
from quorate.cli.person import confirm, get_user
from quorate.cli.quantities import read_duration
from quorate.cli.webhook_words import render_delivery, render_row, render_webhook, show_answer, show_webhook
from quorate.cli.words import align, clean_line
from quorate.errors import CorruptState, InvalidInput
from quorate.ids import new_id
from quorate.runtime import Runtime
from quorate.runtime.webhooks import Answer, DeliveryRow, Shown, Webhook, Webhooks
from quorate.runtime.webhooks.backoff import judge
from quorate.runtime.webhooks.delivery import Status
from quorate.runtime.webhooks.webhook import EVERYTHING
from quorate.security.secrets import Secret

STATUSES: tuple[Status, ...] = get_args(Status)
ONCE = "This is the only time that the secret is shown: give it to whoever receives the webhooks."

Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands about webhooks."""
    group = typer.Typer(
        help="Tell others over HTTP, signed, of what happens; try it out, look at deliveries, make them again.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    group.command("add")(add_webhook)
    group.command("list")(list_webhooks)
    group.command("show")(show)
    group.command("rotate")(rotate_secret)
    group.command("enable")(enable_webhook)
    group.command("disable")(disable_webhook)
    group.command("remove")(remove_webhook)
    group.command("test")(ping_webhook)
    group.command("deliveries")(list_deliveries)
    group.command("redeliver")(redeliver)
    app.add_typer(group, name="webhooks")


def add_webhook(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to, such as https://example.com/hooks.")],
    *,
    id: Annotated[str | None, typer.Option("--id", metavar="NAME", help="What it is called; made up if not.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event", "-e", metavar="PATTERN", help="Such as run.failed, run.* or *.failed; everything if not."
        ),
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", "-a", metavar="NAME", help="Only runs of this agent.")
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="Send what was said, too.")] = False,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="A word for people.")] = "",
    json: Json = False,
) -> None:
    """Add a webhook and show its secret, this once."""

    async def work(runtime: Runtime) -> tuple[Webhook, Secret]:
        webhook = Webhook(
            id=new_id("hook") if id is None else id,
            url=url,
            events=tuple(event or EVERYTHING),
            agents=tuple(agent or ()),
            content=content,
            description=description,
        )
        return await Webhooks(runtime).add(webhook, by=get_user())

    webhook, secret = run_with_runtime(work)
    if json:
        say_json({"webhook": webhook.id, "secret": secret.reveal()})
    else:
        say_all(align([("webhook", webhook.id), ("secret", secret.reveal())]))
    tell(ONCE)


def list_webhooks(*, json: Json = False) -> None:
    """List webhooks, and whether they do well."""

    async def work(runtime: Runtime) -> list[Shown | CorruptState]:
        return await Webhooks(runtime).list_webhooks()

    found = run_with_runtime(work)
    shown = [one for one in found if isinstance(one, Shown)]
    if json:
        say_json([show_webhook(one) for one in shown])
    else:
        say_all(
            align([render_row(one) for one in shown])
            or ["There are no webhooks. Add one: `quorate webhooks add https://example.com/hooks --event run.failed`."]
        )
    for fault in found:
        if isinstance(fault, CorruptState):
            tell(clean_line(fault.message))


def show(webhook: Id, *, json: Json = False) -> None:
    """Show a webhook and how it does; its secret is not shown."""

    async def work(runtime: Runtime) -> Shown:
        return await Webhooks(runtime).show(webhook)

    shown = run_with_runtime(work)
    if json:
        say_json(show_webhook(shown))
    else:
        say_all(render_webhook(shown))


def rotate_secret(
    webhook: Id,
    *,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old secret signs too; 0s for not at all.")
    ] = "24h",
    json: Json = False,
) -> None:
    """Give a webhook a new secret and show it, this once; for a while, both sign."""
    overlap_s = read_duration(overlap)

    async def work(runtime: Runtime) -> Secret:
        return await Webhooks(runtime).rotate(webhook, overlap_s=overlap_s, by=get_user())

    secret = run_with_runtime(work)
    if json:
        say_json({"webhook": webhook, "secret": secret.reveal(), "overlap_s": overlap_s})
    else:
        say_all(align([("webhook", webhook), ("secret", secret.reveal())]))
    tell(ONCE)


def enable_webhook(webhook: Id, *, json: Json = False) -> None:
    """Tell it of events again, from now on."""
    _switch(webhook, is_on=True, json=json)


def disable_webhook(webhook: Id, *, json: Json = False) -> None:
    """Tell it of nothing more; what waits to be delivered is given up."""
    _switch(webhook, is_on=False, json=json)


def _switch(webhook: str, *, is_on: bool, json: bool) -> None:
    async def work(runtime: Runtime) -> Shown:
        webhooks = Webhooks(runtime)
        await (webhooks.enable if is_on else webhooks.disable)(webhook, by=get_user())
        return await webhooks.show(webhook)

    shown = run_with_runtime(work)
    if json:
        say_json(show_webhook(shown))
    elif is_on:
        say(f"Webhook {webhook} is on. What was given up is sent with: quorate webhooks redeliver {webhook} --dead")
    else:
        say(f"Webhook {webhook} is off. Switch it on with: quorate webhooks enable {webhook}")


def remove_webhook(webhook: Id, *, yes: Yes = False, json: Json = False) -> None:
    """Forget a webhook, its secret, and its deliveries."""
    if not yes:
        confirm(f"Forget webhook {webhook} and its deliveries?")

    async def work(runtime: Runtime) -> None:
        await Webhooks(runtime).remove(webhook, by=get_user())

    run_with_runtime(work)
    if json:
        say_json({"webhook": webhook, "removed": True})
    else:
        say(f"Webhook {webhook} is removed, with its deliveries.")


def ping_webhook(webhook: Id, *, json: Json = False) -> None:
    """Send a signed `webhook.ping` now; the exit code is 1 when it was not taken."""

    async def work(runtime: Runtime) -> Answer:
        return await Webhooks(runtime).test(webhook, by=get_user())

    answer = run_with_runtime(work)
    if json:
        say_json(show_answer(webhook, answer))
    elif answer.is_taken:
        say(f"Webhook {webhook} took it: it answered {answer.status} in {answer.took_s * 1000:.0f} ms.")
    else:
        say(f"Webhook {webhook} did not take it: it {judge(answer)}.")
    if not answer.is_taken:
        raise typer.Exit(1)


def list_deliveries(
    webhook: Id,
    *,
    status: Annotated[str | None, typer.Option("--status", help="Only pending, delivered or dead ones.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 100,
    json: Json = False,
) -> None:
    """List deliveries: what waits, what was taken in the last 3 days, what was given up in the last 30."""
    wanted = read_word("status", status, STATUSES)

    async def work(runtime: Runtime) -> list[DeliveryRow]:
        return await Webhooks(runtime).list_deliveries(webhook, status=wanted, limit=limit)

    rows = run_with_runtime(work)
    if json:
        say_json(rows)
    else:
        say_all(align([render_delivery(row) for row in rows]) or ["There are no such deliveries."])


def redeliver(
    webhook: Id,
    delivery: Annotated[
        str | None,
        typer.Argument(metavar="DELIVERY", help="RUN/SEQ as listed, or the webhook-id that the receiver saw."),
    ] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
    json: Json = False,
) -> None:
    """Make a delivery again, or all that were given up; a worker sends them, under the same ids."""
    if (delivery is None) != dead:
        raise InvalidInput("Say what to deliver again: either a delivery, such as `run-1/2`, or `--dead` for all.")

    async def work(runtime: Runtime) -> int:
        webhooks = Webhooks(runtime)
        if delivery is None:
            return await webhooks.redeliver_dead(webhook, by=get_user())
        await webhooks.redeliver(webhook, delivery, by=get_user())
        return 1

    count = run_with_runtime(work)
    if json:
        say_json({"webhook": webhook, "deliveries": count})
    elif not count:
        say(f"Webhook {webhook} has no delivery that was given up.")
    else:
        many = "1 delivery" if count == 1 else f"{count} deliveries"
        say(f"{many} of webhook {webhook} will be made again by the next worker that looks.")
