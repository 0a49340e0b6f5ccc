"""Who outside is told of what happens, signed, again and again until it was taken or given up?"""

from quorate.runtime.webhooks.backoff import Answer, Health, WebhookPolicy
from quorate.runtime.webhooks.book import Edit, Shown, Webhooks
from quorate.runtime.webhooks.courier import Carried, WebhookCourier
from quorate.runtime.webhooks.delivery import DeliveryRow
from quorate.runtime.webhooks.opening import open_webhooks
from quorate.runtime.webhooks.sink import WebhookSink
from quorate.runtime.webhooks.webhook import Webhook

__all__ = [
    "Answer",
    "Carried",
    "DeliveryRow",
    "Edit",
    "Health",
    "Shown",
    "Webhook",
    "WebhookCourier",
    "WebhookPolicy",
    "WebhookSink",
    "Webhooks",
    "open_webhooks",
]
