"""Under which keys is kept what webhooks are, and what they owe each run?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote, unquote

from quorate.ids import check_id

HOOKS = "webhook/"
"""What the keys of webhooks begin with."""
DUE = "webhook-due/"
"""What the keys of deliveries begin with that are still to be made."""
DONE = "webhook-done/"
"""What the keys of deliveries begin with that were made or given up."""
HEALTH = "webhook-health/"
"""What the keys begin with under which it is kept how an endpoint does."""
LONGEST_RUN = 200
_LAST = "\U0010ffff"
"""Behind every character of a key."""


def build_hook_prefix(tenant: str) -> str:
    """Build what the keys of a tenant's webhooks begin with.

    Raises:
        InvalidInput: It is no tenant's id.
    """
    return f"{HOOKS}{check_id(tenant, 'tenant')}/"


def build_hook_key(tenant: str, webhook: str) -> str:
    """Build the key of a webhook.

    Raises:
        InvalidInput: One of the names is not one.
    """
    return f"{build_hook_prefix(tenant)}{check_id(webhook, 'webhook')}"


def build_health_key(tenant: str, webhook: str) -> str:
    """Build the key under which it is kept how a webhook's endpoint does."""
    return f"{HEALTH}{tenant}/{webhook}"


def build_lane(room: str, tenant: str, webhook: str) -> str:
    """Build what the keys of all deliveries of a webhook begin with, in one room."""
    return f"{room}{tenant}/{webhook}/"


def build_run_prefix(room: str, tenant: str, webhook: str, run: str) -> str:
    """Build what the keys of a webhook's deliveries about one run begin with."""
    part = quote(run, safe="", errors="surrogatepass")
    if len(part) > LONGEST_RUN:
        part = "~" + hashlib.sha256(run.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{build_lane(room, tenant, webhook)}{part}/"


def build_delivery_key(room: str, tenant: str, webhook: str, run: str, seq: int) -> str:
    """Build the key of a delivery: those about one run sort as its events do."""
    return f"{build_run_prefix(room, tenant, webhook, run)}{seq:012d}"


def find_lane(key: str) -> tuple[str, str]:
    """Read tenant and webhook from the key of a delivery; a key that is none gives names that nobody has."""
    _, tenant, webhook, *_ = (*key.split("/", 3), "", "")
    return tenant, webhook


def find_event(key: str) -> tuple[str, int]:
    """Read run and number from the key of a delivery; the number is 0 where the key does not tell them."""
    _, run, seq = (*key.rsplit("/", 2), "", "")[:3]
    is_told = seq.isascii() and seq.isdigit() and not run.startswith("~")
    return (unquote(run), int(seq)) if is_told else ("", 0)


def find_page_end(keys: Sequence[str]) -> str:
    """Return where to go on reading behind a page of deliveries: a run that may go on behind it is read again whole.

    So what is next of a run is never chosen without those before it, unless they fill a page.
    """
    last = keys[-1].rpartition("/")[0]
    return next((key for key in reversed(keys) if key.rpartition("/")[0] != last), keys[-1])


def skip_lane(room: str, tenant: str, webhook: str) -> str:
    """Return where to go on reading behind all deliveries of a webhook."""
    return build_lane(room, tenant, webhook) + _LAST
