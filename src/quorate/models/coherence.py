"""Do the tables of a gateway file hold together: does every name in it lead somewhere?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar, cast
from urllib.parse import urlsplit

from msgspec import structs

from quorate.errors import InvalidInput, MissingExtra, UnknownName
from quorate.models.addresses import check_base_url, classify, find_literal
from quorate.models.budgets.rules import BudgetRule
from quorate.models.facts import PLACE, ModelFacts, Provider, Table, list_providers, load_facts, unknown_provider
from quorate.models.pooled import PoolRule
from quorate.models.prices import PricesPlace, load_public_price
from quorate.models.routes import Member, RouteRule, list_targets
from quorate.models.rows import Place, Rows

RESERVED = ("auto", "playbook")
"""Words that stand for something else where a model is named."""


class HasModel(Protocol):
    """A rule that is about one model, or about all."""

    @property
    def model(self) -> str:
        """Its name in full."""
        ...


class HasModels(Protocol):
    """A rule that is about several models, or about all."""

    @property
    def models(self) -> tuple[str, ...]:
        """Their names in full."""
        ...


class HasEmbedder(Protocol):
    """A rule that names what turns texts into vectors."""

    @property
    def embedder(self) -> str:
        """Its name in full, or an alias."""
        ...


EmbedderRule = TypeVar("EmbedderRule", bound=HasEmbedder)
OneRule = TypeVar("OneRule", bound=HasModel)
SomeRule = TypeVar("SomeRule", bound=HasModels)


class Coherence:
    """Checks rows against the providers there are, and notes what does not fit."""

    def __init__(self, rows: Rows, own: Table, *, prices: PricesPlace, declared: Sequence[str] = ()) -> None:
        self._rows = rows
        self._own = own
        self._prices = prices
        # A provider whose own row has faults is named rightly elsewhere.
        self._known = {*list_providers(), *own.providers, *declared}

    def check_providers(self, found: Sequence[tuple[Place, Provider]]) -> None:
        """Check providers of one's own."""
        seen: set[str] = set()
        for place, row in found:
            if row.name in list_providers():
                self._rows.add((*place, "name"), f"{row.name!r} comes with Quorate; choose another name")
            if row.name in seen:
                self._rows.add((*place, "name"), f"{row.name!r} is there twice; take one away")
            seen.add(row.name)
            try:
                check_address(row.base_url)
            except InvalidInput as error:
                self._rows.add((*place, "base_url"), error.message)

    def check_models(self, found: Sequence[tuple[Place, ModelFacts]]) -> None:
        """Check facts and prices of one's own."""
        seen: set[str] = set()
        for place, row in found:
            self.check_model(row.name, (*place, "name"))
            if row.name in seen:
                self._rows.add((*place, "name"), f"{row.name!r} is there twice; take one away")
            seen.add(row.name)
            if row.price.cached is not None and row.price.cached > row.price.input:
                self._rows.add((*place, "price"), "has `cached` above `input`; mend one of them")

    def check_pools(self, found: Sequence[tuple[Place, PoolRule]]) -> tuple[PoolRule, ...]:
        """Check pools of credentials."""
        seen: set[str] = set()
        for place, row in found:
            self.check_provider(row.provider, (*place, "provider"))
            if row.provider in seen:
                self._rows.add((*place, "provider"), f"{row.provider!r} has a pool already; put all keys into one")
            seen.add(row.provider)
            if any(row.keys.index(key) != number for number, key in enumerate(row.keys)):
                self._rows.add((*place, "keys"), "names a key twice; take one away")
        return tuple(row for _, row in found)

    def check_named(self, found: Sequence[tuple[Place, OneRule]], *, words: Sequence[str] = ()) -> tuple[OneRule, ...]:
        """Check rules that are about one model each, or about one of some other words."""
        for place, row in found:
            if row.model and row.model not in words:
                self.check_model(row.model, (*place, "model"))
        return tuple(row for _, row in found)

    def check_prices(self, found: Sequence[tuple[Place, BudgetRule]], routes: Mapping[str, Sequence[str]]) -> None:
        """Check that every model that a budget of money is about has a price, where the file names the model.

        Args:
            found: The budgets.
            routes: The models that each name of the file leads to.
        """
        for place, row in found:
            if row.usd is None:
                continue
            named = routes.get(row.model) or ((row.model,) if row.model else [m for r in routes.values() for m in r])
            try:
                unpriced = [name for name in dict.fromkeys(named) if name and not self.is_priced(name)]
            except MissingExtra as error:
                self._rows.add(("prices", "source"), error.message)
                return
            if unpriced:
                names = ", ".join(repr(name) for name in unpriced)
                self._rows.add(
                    (*place, "usd"), f"cannot hold, as no price is known of {names}; write it with `[[model]]`"
                )

    def check_each(self, name: str, rule: SomeRule | None) -> SomeRule | None:
        """Check a rule that is about several models."""
        for model in rule.models if rule is not None else ():
            self.check_model(model, (name, "models"))
        return rule

    def check_embedder(self, rule: EmbedderRule | None, aliases: Mapping[str, str]) -> EmbedderRule | None:
        """Check a rule that names what turns texts into vectors."""
        if rule is not None:
            self.check_model(aliases.get(rule.embedder, rule.embedder), ("semantic", "embedder"))
        return rule

    def check_proxies(self, table: dict[str, object]) -> dict[str, str]:
        """Check the proxies of providers."""
        for name, url in table.items():
            if name != "*":  # all others
                self.check_provider(name, ("proxies", name))
            try:
                check_base_url(str(url), what="the proxy's address")
            except InvalidInput as error:
                self._rows.add(("proxies", name), error.message)
        return {name: str(url) for name, url in table.items()}

    def check_rest(self, raw: object, found: Sequence[Place], place: Place) -> None:
        """Check the names in tables that have faults of their own, so that all are told at once."""
        for number, table in enumerate(cast("Sequence[object]", raw) if isinstance(raw, list) else ()):
            where = (*place, number)
            if where in found or not isinstance(table, dict):
                continue
            row = cast("Mapping[str, object]", table)
            if isinstance(provider := row.get("provider"), str):
                self.check_provider(provider, (*where, "provider"))
            models = row.get("models")
            listed = cast("Sequence[object]", models) if isinstance(models, list) else ()
            for at, one in [("model", row.get("model")), *(("models", each) for each in listed)]:
                name = cast("Mapping[str, object]", one).get("model") if isinstance(one, dict) else one
                if isinstance(name, str) and ":" in name:
                    self.check_model(name, (*where, at))

    def check_provider(self, name: str, place: Place) -> bool:
        """Note a provider that there is not, and say whether there is one."""
        if name not in self._known:
            self._rows.add(place, f"leads nowhere: {unknown_provider(name, self._known).message}")
        return name in self._known

    def check_model(self, name: str, place: Place) -> bool:
        """Note a model of a provider that there is not, and say whether it can be asked."""
        provider, colon, model = name.partition(":")
        if not (colon and model):
            self._rows.add(place, f"{name!r} is no model; write `provider:model`, such as `openai:gpt-5.2`")
            return False
        return self.check_provider(provider, place)

    def is_priced(self, name: str) -> bool:
        """Whether a model's price is known, or its provider is none that could say so.

        Raises:
            MissingExtra: The list of prices that is asked is not installed.
        """
        provider = name.partition(":")[0]
        if provider not in list_providers() and provider not in self._own.providers:
            return True
        if load_facts(provider, own=self._own).find_price(name) is not None:
            return True
        return bool(self._prices.source) and load_public_price(name) is not None


class Words:
    """The names that a file gives to models: aliases and routes, and where they lead."""

    def __init__(
        self,
        rows: Rows,
        *,
        known: Coherence,
        aliases: Sequence[tuple[Place, str, str]],
        routes: Sequence[tuple[Place, RouteRule]],
        declared: Sequence[str] = (),
    ) -> None:
        self._rows = rows
        self._known = known
        # A name whose own row has faults is named rightly elsewhere.
        self._declared = {*declared}
        self._aliases = {name: model for _, name, model in aliases}
        self._names = {row.name for _, row in routes}
        seen: set[str] = set()
        for place, name in [*((place, name) for place, name, _ in aliases), *((p, row.name) for p, row in routes)]:
            if name in RESERVED:
                rows.add((*place, "name"), f"{name!r} stands for something else; choose another name")
            if name in seen:
                rows.add((*place, "name"), f"{name!r} is there twice; choose another name for one of them")
            seen.add(name)
        found = {name: self._follow(model, (*place, "model"), is_route=True) for place, name, model in aliases}
        self.aliases = {name: target for name, target in found.items() if target}
        """Every alias, with the model or route it leads to in the end."""
        self.routes = tuple(self._resolve(place, row) for place, row in routes)
        """The routes, with the models that aliases lead to in them; a route leads to models alone."""

    def list_leads(self) -> dict[str, tuple[str, ...]]:
        """List the models that each name leads to."""
        leads = {row.name: list_targets(row) for row in self.routes}
        return leads | {name: leads.get(target, (target,)) for name, target in self.aliases.items()}

    def _resolve(self, place: Place, row: RouteRule) -> RouteRule:
        models: list[Member | str] = []
        for number, one in enumerate(row.models):
            where = (*place, "models", number)
            if isinstance(one, str):
                models.append(self._follow(one, where))
            else:
                models.append(structs.replace(one, model=self._follow(one.model, (*where, "model"))))
        names = [one if isinstance(one, str) else one.model for one in models]
        for number, name in enumerate(names):
            if name and name in names[:number]:
                self._rows.add((*place, "models"), f"leads to {name!r} twice; take one away")
        canary = row.canary
        if canary is not None:
            target = self._follow(canary.model, (*place, "canary", "model"))
            canary = structs.replace(canary, model=target)
        return structs.replace(row, models=tuple(models), canary=canary)

    def _follow(self, name: str, place: Place, *, is_route: bool = False) -> str:
        """Return where a name leads; nothing when that is nowhere, which is noted."""
        passed = [name]
        while (target := self._aliases.get(passed[-1])) is not None:
            if target in passed:
                self._rows.add(place, f"leads in a circle: {' → '.join((*passed, target))}")
                return ""
            passed.append(target)
        last = passed[-1]
        if last in self._names:
            if is_route:
                return last
            self._rows.add(place, f"leads to the route {last!r}, and a route leads to models alone")
            return ""
        if last in self._declared - {*self._aliases}:
            return ""
        if ":" not in last:
            choices = {*self._aliases, *(self._names if is_route else ())}
            hint = "A model is named `provider:model`."
            self._rows.add(place, f"leads nowhere: {UnknownName('model, alias or route', last, choices, hint).message}")
            return ""
        return last if self._known.check_model(last, place) else ""


def check_address(url: str) -> None:
    """Raise `InvalidInput` when a base URL is none, or one that nobody may reach."""
    filled = PLACE.sub("x", url)
    scheme = check_base_url(filled, what="it")
    host = urlsplit(filled).hostname or ""
    literal = find_literal(host)
    kind = classify(literal) if literal is not None else ""
    if kind and kind not in ("public", "private", "loopback"):
        raise InvalidInput(f"`{host}` is a {kind} address, which is never reached; write another")
    if kind == "public" and scheme == "http":
        raise InvalidInput("plain `http` would show the key to everybody on the way; write `https://`")
