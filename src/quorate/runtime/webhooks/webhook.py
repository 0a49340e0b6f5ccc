"""What is a webhook: who is told of which events, and where?"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from quorate.addresses import classify, find_literal
from quorate.bus.globs import Glob
from quorate.errors import Forbidden, InvalidInput, UnknownName
from quorate.events import NOTICES
from quorate.ids import check_id
from quorate.models.addresses import Guard, check_base_url

PING = "webhook.ping"
"""The type of what `quorate webhooks test` sends."""
KINDS = tuple(sorted(str(kind.__struct_config__.tag) for kind in NOTICES))
"""The events that webhooks can be told of."""
EVERYTHING = ("**",)
MOST_PATTERNS = 20
MOST_AGENTS = 20
LONGEST_URL = 2048
LONGEST_DESCRIPTION = 256
WORDS = ("loopback", "private")
_NEVER = ("link-local", "metadata", "reserved")


class Webhook(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody outside who is told of events; its secret is kept apart from it."""

    id: str
    url: str
    tenant: str = "default"
    events: tuple[str, ...] = EVERYTHING
    """Patterns of event types: `run.failed`, `run.*`, `*.failed`, `**`."""
    agents: tuple[str, ...] = ()
    """Only runs of these agents; of all when empty."""
    content: bool = False
    """Whether what people, tools and models said is sent too."""
    enabled: bool = True
    disabled_why: str = ""
    """Why it was switched off, when nobody did by hand."""
    description: str = ""
    created: float = 0.0
    """Wall time in seconds since 1970."""
    principal: str = "local"
    """Who added it."""

    @property
    def place(self) -> str:
        """Where it is, for messages and lists: without what stands behind a `?`, which may be a token."""
        url, has_query, _ = self.url.partition("?")
        return f"{url}?…" if has_query else url

    def wants(self, kind: str) -> bool:
        """Whether it is to be told of events of a kind."""
        return self.enabled and any(Glob(pattern).matches(kind) for pattern in self.events)


class Reach(Guard, frozen=True, kw_only=True):
    """Where webhooks may be: on public addresses over `https`, and where the operator allows it besides.

    Link-local, metadata and reserved addresses are never reached. A name is checked by the addresses it stands for, at
    the moment of the connection, which goes to the very address that was checked.
    """

    allow: tuple[str, ...] = ()
    """`loopback`, `private`, addresses and networks."""

    def check(self, address: str, host: str) -> None:
        """Raise `Forbidden` unless `address`, which `host` stands for, may be reached."""
        kind = classify(address)
        if kind == "public":
            if self.scheme == "https":
                return
            raise Forbidden(f"{host!r} is public, and `http` would show everybody what is sent: use `https`.")
        if kind not in _NEVER and (kind in self.allow or _is_listed(address, self.allow)):
            return
        hint = "that is never reached" if kind in _NEVER else "an operator can list it in `webhooks.allow`"
        # The address is the resolver's word: whoever owns the webhook need not learn what is inside our network.
        raise Forbidden(f"{host!r} stands for a {kind} address; {hint}.")


def check_allowed(items: Sequence[str]) -> tuple[str, ...]:
    """Return what an operator allows beside public addresses, if it can be.

    Raises:
        InvalidInput: One is no address, network, or one of the two words.
    """
    for item in items:
        if item in WORDS:
            continue
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            raise InvalidInput(
                f"`webhooks.allow` holds {item!r}, which is no place: write `loopback`, `private`, an address or a "
                "network."
            ) from error
        if {classify(str(network.network_address)), classify(str(network.broadcast_address))} <= set(_NEVER):
            raise InvalidInput(f"`webhooks.allow` holds {item!r}, which is never reached: take it out.")
    return tuple(items)


def check_webhook(webhook: Webhook, *, allow: Sequence[str]) -> None:
    """Check that a webhook can be kept; what its host stands for is checked each time that it is reached.

    Raises:
        InvalidInput: It cannot; the message says what to write instead.
        Forbidden: It is at an address that may not be reached.
    """
    check_id(webhook.id, "webhook")
    check_id(webhook.tenant, "tenant")
    check_url(webhook.url, allow=allow)
    if not 1 <= len(webhook.events) <= MOST_PATTERNS:
        raise InvalidInput(f"A webhook has 1 to {MOST_PATTERNS} patterns of events, not {len(webhook.events)}.")
    for pattern in webhook.events:
        glob = Glob(pattern)
        if not any(map(glob.matches, KINDS)):
            raise UnknownName("event", pattern, KINDS, hint="Patterns such as `run.*`, `*.failed` and `**` work too.")
    if len(webhook.agents) > MOST_AGENTS:
        raise InvalidInput(f"A webhook has {MOST_AGENTS} agents at most, not {len(webhook.agents)}.")
    for agent in webhook.agents:
        check_id(agent, "agent")
    if len(webhook.description) > LONGEST_DESCRIPTION or not webhook.description.isprintable():
        raise InvalidInput(f"A description has at most {LONGEST_DESCRIPTION} printable characters.")


def check_url(url: str, *, allow: Sequence[str]) -> Reach:
    """Check where a webhook is, and return what may be reached on the way there.

    Raises:
        InvalidInput: It is no address of a service; it is not repeated, as it may hold a token.
        Forbidden: It is an address that may not be reached, or `http` to somewhere public.
    """
    if len(url) > LONGEST_URL:
        raise InvalidInput(f"The URL has {len(url)} characters; a webhook's has at most {LONGEST_URL}.")
    base, _, query = url.partition("?")
    scheme = check_base_url(base, what="The URL of a webhook")
    if "#" in query or not query.isascii() or any(ord(character) < 33 for character in query):
        raise InvalidInput("The URL of a webhook holds a space, a fragment or a character no address has.")
    reach = Reach(scheme=scheme, allow=tuple(allow))
    host = urlsplit(base).hostname or ""
    literal = find_literal(host)
    if literal is not None:
        reach.check(literal, host)
    elif host.rstrip(".") == "localhost":
        reach.check("127.0.0.1", host)
    elif scheme == "http" and not allow:
        raise Forbidden(
            f"`http` would show everybody on the way what is sent to {host!r}: use `https`. Inside your own network, "
            "an operator can list addresses in `webhooks.allow`."
        )
    return reach


def _is_listed(address: str, allow: Sequence[str]) -> bool:
    at = ipaddress.ip_address(address.partition("%")[0])
    networks = [ipaddress.ip_network(item, strict=False) for item in allow if item not in WORDS]
    return any(at in network for network in networks)
