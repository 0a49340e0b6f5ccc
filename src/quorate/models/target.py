"""Where is a model, what is known about it, and what is sent there?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct, structs

from quorate.errors import Forbidden, InvalidInput
from quorate.models.addresses import Guard, check_base_url, is_loopback_name
from quorate.models.cost import Price
from quorate.models.credentials import Credentials
from quorate.models.facts import PLACE, ModelFacts, Provider, Table, load_facts
from quorate.specs import ModelProfile

UNGUARDED = frozenset({"litellm"})
"""Dialects that bring their own way to the network."""
_MODEL_NAME = re.compile(r"[!-~]{1,128}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")


class Sending(Struct, frozen=True, kw_only=True):
    """What goes out to a provider, in full."""

    url: str
    body: bytes = b""
    headers: dict[str, str] = {}
    method: str = "POST"

    def __repr__(self) -> str:
        # The headers hold the credential, and the body what people said.
        return f"<Sending {self.method} {self.url}, {len(self.body)} bytes>"


class Target(Struct, frozen=True, kw_only=True):
    """Where a model is, and what is known about it."""

    provider: Provider
    model_name: str
    base_url: str
    guard: Guard
    price: Price | None = None
    facts: ModelFacts | None = None
    """What is known about the model; nothing about one that is not listed."""
    is_trusted: bool = True
    """Whether an operator named it; for a tenant's, no file of this machine is read."""

    @property
    def name(self) -> str:
        """The model's name in full."""
        return f"{self.provider.name}:{self.model_name}"

    def build_profile(self) -> ModelProfile:
        """Build what the loop and the router read."""
        provider, facts = self.provider, self.facts
        native = provider.native_output
        if facts is None:
            return ModelProfile(
                name=self.name,
                provider=provider.otel,
                native_output=native,
                tools=provider.tools,
                priced=self.price is not None,
            )
        return ModelProfile(
            name=self.name,
            provider=provider.otel,
            native_output=native if facts.native_output is None else facts.native_output,
            tools=provider.tools and facts.tools,
            context_tokens=facts.context_tokens,
            priced=self.price is not None,
            max_output_tokens=facts.max_output_tokens,
            vision=facts.vision,
            audio=facts.audio,
            files=facts.files,
            reasoning=facts.reasoning,
        )


def find_target(
    name: str,
    *,
    credentials: Credentials,
    base_urls: Mapping[str, str],
    table: Table | None = None,
    is_trusted: bool = True,
) -> Target:
    """Find where a named model is: what the operator says, else what the facts say.

    Args:
        name: The name in full, such as `openai:gpt-5.2`.
        credentials: Gives the value of an environment name.
        base_urls: Where providers are, by name.
        table: Providers and models of one's own, which stand above those that come with Quorate.
        is_trusted: Whether an operator wrote all of this. What a tenant wrote leads to public addresses alone, so that
            nobody reaches the inside of the network by it; `credentials` must then be the tenant's own.

    Raises:
        UnknownName: There is no such provider.
        InvalidInput: The name or the base URL is not one, or a value that belongs into it is missing.
        Forbidden: A tenant named a provider whose connections are not guarded here.
    """
    provider_name, _, model_name = name.partition(":")
    known = load_facts(provider_name, own=table)
    provider = known.find_provider(provider_name)
    if not _MODEL_NAME.fullmatch(model_name):
        raise InvalidInput(f"{name!r} names no model: write `{provider_name}:MODEL`, such as `openai:gpt-5.2`.")
    if not is_trusted and provider.dialect in UNGUARDED:
        raise Forbidden(
            f"`{provider_name}` reaches the network by itself, where no address is guarded: an operator alone names it."
        )
    stated, what = base_urls.get(provider_name), f"The base URL of {provider_name!r}"
    if not stated and provider.base_url_env is not None:
        stated, what = credentials(provider.base_url_env), f"`{provider.base_url_env}`"
    base_url = (stated or "").strip() or fill_places(provider, credentials)
    is_own = table is not None and provider_name in table.providers
    is_named = is_own or (bool(stated) and base_url.rstrip("/") != provider.base_url)
    scheme = check_base_url(base_url, what=what)
    host = urlsplit(base_url).hostname or ""
    facts = known.find_facts(name)
    if facts is not None and facts.dialect is not None:
        provider = structs.replace(provider, dialect=facts.dialect)
    return Target(
        provider=provider,
        model_name=model_name,
        base_url=base_url,
        guard=Guard(scheme=scheme, private=is_trusted and (is_named or is_loopback_name(host))),
        price=known.find_price(name),
        facts=facts,
        is_trusted=is_trusted,
    )


def fill_places(provider: Provider, credentials: Credentials) -> str:
    """Put the values of environment names into a provider's base URL.

    Raises:
        InvalidInput: One is missing, or no part of a host's name.
    """

    def fill(place: re.Match[str]) -> str:
        names = place[1].split("|")
        value = next(filter(None, [(credentials(name) or "").strip() for name in names]), "")
        if not _VALUE.fullmatch(value):
            why = "is not set" if not value else "is no part of a host's name"
            other = f", or `{provider.base_url_env}` to the whole address" if provider.base_url_env else ""
            raise InvalidInput(f"`{names[0]}` {why}, and `{provider.name}` is reached by it: set it{other}.")
        return value

    return PLACE.sub(fill, provider.base_url)
