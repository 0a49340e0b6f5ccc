"""Which models does a provider say it serves?"""

from __future__ import annotations

from quorate.models.connections import Connections
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS, Timeouts
from quorate.models.providers import ListedModel, find_listing
from quorate.models.sender import Sender
from quorate.models.target import Target

MAX_PAGES = 50
MAX_MODELS = 10_000


async def list_models(
    target: Target,
    *,
    credentials: Credentials,
    timeouts: Timeouts = TIMEOUTS,
    connections: Connections | None = None,
) -> tuple[ListedModel, ...]:
    """Ask a provider for its models, page by page, in its own order; a list without end is cut.

    Args:
        target: Any model of the provider.
        credentials: Gives the key.
        timeouts: The deadlines of each page.
        connections: The clients of a gateway; one of its own when there are none.

    Raises:
        InvalidInput: The provider lists none.
        Unauthenticated: There is no key, or it is refused.
        UpstreamError: The provider failed.
        DeadlineExceeded: It took too long.
    """
    listing = find_listing(target.provider)
    sender = Sender(target, credentials=credentials, timeouts=timeouts, connections=connections)
    found: dict[str, ListedModel] = {}
    page = ""
    try:
        for _ in range(MAX_PAGES):
            body, _ = await sender.fetch(listing.encode(target, page=page))
            listed = listing.decode(body)
            found |= {model.name: model for model in listed.models}
            page = listed.next
            if not page or len(found) >= MAX_MODELS:
                break
    finally:
        await sender.aclose()
    return tuple(found.values())[:MAX_MODELS]
