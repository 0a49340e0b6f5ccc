"""How is a webhook written for people and for programs?"""

from __future__ import annotations

from msgspec import structs

from quorate.cli.words import clean_line, show_time
from quorate.runtime.webhooks import Answer, DeliveryRow, Shown
from quorate.runtime.webhooks.backoff import judge


def show_webhook(shown: Shown) -> dict[str, object]:
    """Show a webhook for programs; its secrets are not in it."""
    return {
        **structs.asdict(shown.webhook),
        "url": shown.webhook.place,
        "status": describe_status(shown),
        "secrets": shown.secrets,
        "encrypted": shown.is_sealed,
        "health": shown.health,
    }


def show_answer(webhook: str, answer: Answer) -> dict[str, object]:
    """Show for programs how a ping was answered."""
    return {
        "webhook": webhook,
        "taken": answer.is_taken,
        "status": answer.status or None,
        "reason": judge(answer),
        "took_s": round(answer.took_s, 4),
    }


def render_row(shown: Shown) -> tuple[str, ...]:
    """Write a webhook on one line of a list."""
    webhook = shown.webhook
    return (webhook.id, describe_status(shown), " ".join(webhook.events), clean_line(webhook.place, most=80))


def render_webhook(shown: Shown) -> list[str]:
    """Write a webhook in full."""
    webhook, health = shown.webhook, shown.health
    rows = [
        ("webhook", webhook.id),
        ("status", describe_status(shown)),
        ("why", clean_line(webhook.disabled_why)),
        ("url", webhook.place),
        ("events", " ".join(webhook.events)),
        ("agents", " ".join(webhook.agents)),
        ("content", "what was said is sent, too" if webhook.content else "facts alone"),
        ("about", clean_line(webhook.description)),
        ("secret", _describe_secrets(shown)),
        ("added", f"{show_time(webhook.created)} UTC by {clean_line(webhook.principal)}"),
    ]
    if health is not None:
        rows.append(("failures", f"{health.failures} in a row since {show_time(health.since)} UTC"))
        rows.append(("rests", f"until {show_time(health.rests_until)} UTC"))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows if value]


def render_delivery(row: DeliveryRow) -> tuple[str, ...]:
    """Write a delivery on one line of a list."""
    if row.status == "pending":
        moment = f"next {show_time(row.next)}" if row.next else "next now"
    else:
        moment = show_time(row.finished or row.created)
    tries = f"{row.attempts}x"
    return (clean_line(row.id), row.kind, row.status, tries, moment, clean_line(row.reason, most=80) or "-")


def describe_status(shown: Shown) -> str:
    """Say in one word how a webhook stands."""
    if not shown.webhook.enabled:
        return "off"
    return "failing" if shown.health is not None else "on"


def _describe_secrets(shown: Shown) -> str:
    kept = "kept encrypted" if shown.is_sealed else "kept as it is: set `artifacts.keys` to have it encrypted"
    return f"{kept}; two sign while the old one is replaced" if shown.secrets > 1 else kept
