"""How are those looked after over HTTP who are told of what happens?"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT
from msgspec import Meta, Struct, structs

from quorate.errors import CorruptState, InvalidInput
from quorate.ids import new_id
from quorate.runtime.webhooks import DeliveryRow, Edit, Shown, Webhook, Webhooks
from quorate.runtime.webhooks.backoff import judge
from quorate.runtime.webhooks.book import LONGEST_OVERLAP_S, OVERLAP_S
from quorate.runtime.webhooks.delivery import Status
from quorate.runtime.webhooks.webhook import (
    EVERYTHING,
    LONGEST_DESCRIPTION,
    LONGEST_URL,
    MOST_AGENTS,
    MOST_PATTERNS,
)
from quorate.security.identity import Need
from quorate.server.access import need
from quorate.server.acts import note_act
from quorate.server.asked import Asked, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.idempotency import OnceKey, once
from quorate.server.tags import ETAG, IfMatch, IfNoneMatch, build_tag, matched, tag
from quorate.server.views import Page

_logger = logging.getLogger("quorate.server")

Standing = Literal["on", "off", "failing"]
Id = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9][a-z0-9-]*$", examples=["pager"])]
Address = Annotated[str, Meta(min_length=1, max_length=LONGEST_URL, examples=["https://example.com/hooks"])]
Pattern = Annotated[str, Meta(min_length=1, max_length=200, examples=["run.failed"])]
Patterns = Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=MOST_PATTERNS)]
Agents = Annotated[tuple[Id, ...], Meta(max_length=MOST_AGENTS)]
About = Annotated[str, Meta(max_length=LONGEST_DESCRIPTION)]
Cursor = Annotated[str | None, QueryParameter(max_length=300, description="What `next_cursor` of a page said.")]


class WebhookRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to be told of what."""

    url: Address
    id: Id | None = None
    """What it is called; made up if not given."""
    events: Patterns = EVERYTHING
    """Patterns of events: `run.failed`, `run.*`, `*.failed`, `**`."""
    agents: Agents = ()
    """Only runs of these agents; of all when empty."""
    content: bool = False
    """Whether what people, tools and models said is sent too."""
    description: About = ""


class WebhookChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is not given stays."""

    url: Address | None = None
    events: Patterns | None = None
    agents: Agents | None = None
    content: bool | None = None
    description: About | None = None


class RotateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a secret gives way to a new one."""

    overlap_s: Annotated[float, Meta(ge=0, le=LONGEST_OVERLAP_S)] = OVERLAP_S
    """For how many seconds the old secret signs too."""


class RedeliverRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be delivered again: one delivery, or all that were given up."""

    delivery: Annotated[str, Meta(min_length=1, max_length=256, examples=["run-1/2"])] | None = None
    """`RUN/SEQ` as listed, or the `webhook-id` that the receiver saw."""
    dead: bool = False
    """All that were given up."""


class HealthView(Struct, frozen=True, kw_only=True):
    """How an endpoint fails; times are seconds since 1970."""

    failures: int
    """In a row."""
    since: float
    rests_until: float
    """Until when it is left alone."""


class WebhookView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="webhook"):
    """Who is told of what; secrets are not in it."""

    id: str
    status: Standing
    url: str
    """Without what stands behind a `?`, which may be a token."""
    events: tuple[str, ...]
    agents: tuple[str, ...] = ()
    content: bool
    description: str = ""
    disabled_why: str = ""
    """Why it was switched off, when nobody did by hand."""
    created: float
    principal: str
    """Who added it."""
    secrets: int
    """How many secrets sign at the moment: two while one gives way to another."""
    encrypted: bool
    """Whether its secrets are encrypted where they are kept."""
    health: HealthView | None = None
    """How it fails, when its last answer was a failure."""


class NewWebhookView(Struct, frozen=True, kw_only=True, tag_field="object", tag="webhook.created"):
    """A webhook that was added, with its secret; it is shown this once."""

    webhook: WebhookView
    secret: str | None
    """By which whoever receives it knows that it is ours; `null` where the request was answered before."""


class SecretView(Struct, frozen=True, kw_only=True, tag_field="object", tag="webhook.secret"):
    """A new secret; it is shown this once."""

    webhook: str
    secret: str | None
    """`null` where the request was answered before."""
    overlap_s: float


class PingView(Struct, frozen=True, kw_only=True, tag_field="object", tag="webhook.ping"):
    """How a ping was answered."""

    webhook: str
    taken: bool
    status: int | None
    """What the endpoint answered; nothing where it did not."""
    reason: str
    """Why it was not taken, in our words."""
    took_s: float


class DeliveryView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="webhook.delivery"):
    """That a webhook is, or was, to be told of an event."""

    id: str
    """`RUN/SEQ`, by which it is made again."""
    message: str
    """The `webhook-id` that the receiver sees."""
    webhook: str
    kind: str
    status: Status
    attempts: int
    reason: str = ""
    answered: int | None = None
    """The last status that the endpoint answered."""
    created: float
    next: float | None = None
    finished: float | None = None


class Redelivered(Struct, frozen=True, kw_only=True, tag_field="object", tag="webhook.redelivered"):
    """How many deliveries are made again."""

    webhook: str
    deliveries: int


@post(
    "/webhooks",
    opt=need("webhooks", "write"),
    status_code=HTTP_201_CREATED,
    summary="Add a webhook",
    responses=refuses(409),
)
async def create_webhook(
    request: Asked, data: JSONBody[WebhookRequest], idempotency_key: OnceKey = None
) -> Response[NewWebhookView]:
    """Tell somebody outside of what happens, signed; the answer has the secret, this once.

    With `content`, also of what was said in all runs of the tenant, for which it takes `webhooks:admin`.
    It may be at public addresses over `https`, and where the operator's `webhooks.allow` says so; the address is
    checked again at each connection.
    """
    webhooks, by = Webhooks(find_runtime(request)), request.user.principal
    await check_content(request, data.id or "new", is_sent=data.content)

    async def work() -> Response[NewWebhookView]:
        webhook = Webhook(
            id=new_id("hook") if data.id is None else data.id,
            url=data.url,
            events=data.events,
            agents=data.agents,
            content=data.content,
            description=data.description,
        )
        kept, secret = await webhooks.add(webhook, by=by)
        shown = await webhooks.show(kept.id)
        view = NewWebhookView(webhook=view_webhook(shown), secret=secret.reveal())
        headers = {"Location": f"/v1/webhooks/{kept.id}", ETAG: build_tag(view.webhook)}
        return Response(view, status_code=HTTP_201_CREATED, headers=headers)

    return await once(request, idempotency_key, work, conceal=lambda view: structs.replace(view, secret=None))


@get("/webhooks", opt=need("webhooks", "read"), summary="List webhooks")
async def list_webhooks(request: Asked) -> Page[WebhookView]:
    """List all webhooks by id, and whether they do well; there are never more than a hundred."""
    found = await Webhooks(find_runtime(request)).list_webhooks()
    for fault in found:
        if isinstance(fault, CorruptState):  # whoever asks for it by name is told why it does not read
            _logger.error("webhook.corrupt", extra={"webhook": fault.context.get("webhook")})
    return Page(data=[view_webhook(one) for one in found if isinstance(one, Shown)])


@get("/webhooks/{webhook_id:str}", opt=need("webhooks", "read"), summary="Show a webhook")
async def show_webhook(
    request: Asked, webhook_id: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[WebhookView]:
    """Show a webhook and how it does; its secret is not shown."""
    return _answer(request, await Webhooks(find_runtime(request)).show(webhook_id))


@patch(
    "/webhooks/{webhook_id:str}",
    opt=need("webhooks", "write"),
    summary="Change a webhook",
    responses=refuses(412),
)
async def change_webhook(
    request: Asked, webhook_id: FromPath[str], data: JSONBody[WebhookChange], if_match: IfMatch = None
) -> Response[WebhookView]:
    """Change where a webhook is, or what it is told of; its secret stays.

    Where it is told of `content`, before or behind the change, it takes `webhooks:admin`.
    """
    webhooks = Webhooks(find_runtime(request))
    edit = Edit(
        url=data.url, events=data.events, agents=data.agents, content=data.content, description=data.description
    )  # fmt: skip
    before = await webhooks.show(webhook_id)
    expected = before.revision if if_match is not None else None
    with matched(request, build_tag(view_webhook(before))):
        await check_content(request, webhook_id, is_sent=bool(data.content) or before.webhook.content)
        shown = await webhooks.change(webhook_id, edit, expected=expected, by=request.user.principal)
    return _answer(request, shown)


@delete(
    "/webhooks/{webhook_id:str}",
    opt=need("webhooks", "write"),
    status_code=HTTP_204_NO_CONTENT,
    summary="Forget a webhook",
    responses=refuses(412),
)
async def delete_webhook(request: Asked, webhook_id: FromPath[str], if_match: IfMatch = None) -> None:
    """Forget a webhook, its secret, and its deliveries."""
    webhooks, by = Webhooks(find_runtime(request)), request.user.principal
    if if_match is None:  # also one that does not read
        await webhooks.remove(webhook_id, by=by)
        return
    before = await webhooks.show(webhook_id)
    with matched(request, build_tag(view_webhook(before))):
        await webhooks.remove(webhook_id, expected=before.revision, by=by)


@post(
    "/webhooks/{webhook_id:str}/enable",
    opt=need("webhooks", "write"),
    status_code=HTTP_200_OK,
    summary="Switch a webhook on",
    responses=refuses(409),
)
async def enable_webhook(request: Asked, webhook_id: FromPath[str]) -> Response[WebhookView]:
    """Tell it of events again, from now on; an endpoint that failed is tried at once."""
    webhooks = Webhooks(find_runtime(request))
    await webhooks.enable(webhook_id, by=request.user.principal)
    return _answer(request, await webhooks.show(webhook_id))


@post(
    "/webhooks/{webhook_id:str}/disable",
    opt=need("webhooks", "write"),
    status_code=HTTP_200_OK,
    summary="Switch a webhook off",
)
async def disable_webhook(request: Asked, webhook_id: FromPath[str]) -> Response[WebhookView]:
    """Tell it of nothing more; what waits to be delivered is given up, and can be delivered again later."""
    webhooks = Webhooks(find_runtime(request))
    await webhooks.disable(webhook_id, by=request.user.principal)
    return _answer(request, await webhooks.show(webhook_id))


@post(
    "/webhooks/{webhook_id:str}/rotate",
    opt=need("webhooks", "write"),
    status_code=HTTP_200_OK,
    summary="Give a webhook a new secret",
    responses=refuses(409),
)
async def rotate_secret(
    request: Asked,
    webhook_id: FromPath[str],
    data: JSONBody[RotateRequest | None] = None,
    idempotency_key: OnceKey = None,
) -> Response[SecretView]:
    """Give a webhook a new secret and show it, this once; for a while, both sign."""
    webhooks, by = Webhooks(find_runtime(request)), request.user.principal
    overlap_s = (data or RotateRequest()).overlap_s

    async def work() -> Response[SecretView]:
        secret = await webhooks.rotate(webhook_id, overlap_s=overlap_s, by=by)
        view = SecretView(webhook=webhook_id, secret=secret.reveal(), overlap_s=overlap_s)
        return Response(view, status_code=HTTP_200_OK)

    return await once(request, idempotency_key, work, conceal=lambda view: structs.replace(view, secret=None))


@post(
    "/webhooks/{webhook_id:str}/test",
    opt=need("webhooks", "write"),
    status_code=HTTP_200_OK,
    summary="Try a webhook out",
)
async def ping_webhook(request: Asked, webhook_id: FromPath[str]) -> PingView:
    """Send a signed `webhook.ping` at once, switched on or off, and say how it was answered."""
    answer = await Webhooks(find_runtime(request)).test(webhook_id, by=request.user.principal)
    return PingView(
        webhook=webhook_id,
        taken=answer.is_taken,
        status=answer.status or None,
        reason=judge(answer),
        took_s=round(answer.took_s, 4),
    )


@get("/webhooks/{webhook_id:str}/deliveries", opt=need("webhooks", "read"), summary="List deliveries")
async def list_deliveries(
    request: Asked,
    webhook_id: FromPath[str],
    status: FromQuery[Status | None] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DeliveryView]:
    """List deliveries: what waits, what was taken in the last 3 days, what was given up in the last 30."""
    rows = await Webhooks(find_runtime(request)).list_deliveries(
        webhook_id, status=status, after=cursor or "", limit=limit
    )  # fmt: skip
    following = f"{rows[-1].status}/{rows[-1].id}" if len(rows) == limit else None
    return Page(data=[view_delivery(row) for row in rows], next_cursor=following)


@post(
    "/webhooks/{webhook_id:str}/redeliver",
    opt=need("webhooks", "write"),
    status_code=HTTP_202_ACCEPTED,
    summary="Deliver again",
    responses=refuses(409),
)
async def redeliver(request: Asked, webhook_id: FromPath[str], data: JSONBody[RedeliverRequest]) -> Redelivered:
    """Make a delivery again, or all that were given up; a worker sends them, under the same ids."""
    webhooks, by = Webhooks(find_runtime(request)), request.user.principal
    if (data.delivery is None) != data.dead:
        raise InvalidInput("Say what to deliver again: either a `delivery`, such as `run-1/2`, or `dead` for all.")
    if data.delivery is None:
        return Redelivered(webhook=webhook_id, deliveries=await webhooks.redeliver_dead(webhook_id, by=by))
    await webhooks.redeliver(webhook_id, data.delivery, by=by)
    return Redelivered(webhook=webhook_id, deliveries=1)


async def check_content(request: Asked, webhook_id: str, *, is_sent: bool) -> None:
    """Return if whoever asks may say where it is sent what was said, also in sessions that are not theirs.

    Raises:
        Forbidden: It is sent, and they may not.
    """
    needed = Need("webhooks", "admin")
    if is_sent and not request.user.may(needed):
        async with note_act(request, "webhook.content", object=f"webhook/{webhook_id}"):
            request.user.check(needed)


def view_webhook(shown: Shown) -> WebhookView:
    """Show a webhook; what is secret about it is not in what is shown."""
    webhook, health = shown.webhook, shown.health
    status: Standing = "failing" if health is not None else "on"
    return WebhookView(
        id=webhook.id,
        status=status if webhook.enabled else "off",
        url=webhook.place,
        events=webhook.events,
        agents=webhook.agents,
        content=webhook.content,
        description=webhook.description,
        disabled_why=webhook.disabled_why,
        created=webhook.created,
        principal=webhook.principal,
        secrets=shown.secrets,
        encrypted=shown.is_sealed,
        health=HealthView(failures=health.failures, since=health.since, rests_until=health.rests_until)
        if health is not None
        else None,
    )


def view_delivery(row: DeliveryRow) -> DeliveryView:
    """Show a delivery."""
    return DeliveryView(
        id=row.id,
        message=row.message,
        webhook=row.webhook,
        kind=row.kind,
        status=row.status,
        attempts=row.attempts,
        reason=row.reason,
        answered=row.answered or None,
        created=row.created,
        next=row.next,
        finished=row.finished,
    )


def _answer(request: Asked, shown: Shown) -> Response[WebhookView]:
    return tag(request, view_webhook(shown))


def build_router() -> Router:
    """Build the routes about webhooks."""
    handlers = [
        create_webhook,
        list_webhooks,
        show_webhook,
        change_webhook,
        delete_webhook,
        enable_webhook,
        disable_webhook,
        rotate_secret,
        ping_webhook,
        list_deliveries,
        redeliver,
    ]
    return Router("/v1", route_handlers=handlers, tags=["webhooks"])
