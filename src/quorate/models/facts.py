"""Which providers and models are known, and what are the facts about them? The facts are in `models.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidFiles, InvalidInput, UnknownName
from quorate.models.addresses import check_base_url
from quorate.models.cost import FREE, Price

Row = TypeVar("Row", bound=Struct)
FILE = "models.toml"
EnvironmentName = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that answers requests."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    """The word before the colon in `openai:gpt-5.2`."""
    otel: Annotated[str, Meta(pattern="^[a-z0-9_.]{1,63}$")]
    """Its name as OpenTelemetry spells it (`gen_ai.provider.name`)."""
    base_url: str
    dialect: Literal["openai"]
    base_url_env: EnvironmentName | None = None
    """The name of the environment variable that replaces `base_url`."""
    key_env: EnvironmentName | None = None
    """The name of the environment variable that holds the key; none where no key is needed."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    native_output: bool = True
    """Whether it enforces a JSON Schema for the answer."""
    free: bool = False
    """Whether its tokens cost nothing, as on one's own machine."""


class ModelFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about one model."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]+:[!-~]{1,128}$")]
    """The name in full, such as `openai:gpt-5.2`."""
    context_tokens: Annotated[int, Meta(gt=0)]
    price: Price


class Table(Struct, frozen=True, kw_only=True):
    """All that is known."""

    providers: Mapping[str, Provider]
    models: Mapping[str, ModelFacts]

    def find_provider(self, name: str) -> Provider:
        """Find a provider by name.

        Raises:
            UnknownName: There is none; the nearest is suggested.
        """
        found = self.providers.get(name)
        if found is None:
            raise UnknownName(
                "model provider",
                name,
                self.providers,
                "A model is named `provider:model`; `playbook` needs no provider and no key.",
            )
        return found

    def find_facts(self, name: str) -> ModelFacts | None:
        """Find the facts about a model named in full; a dated name has those of the undated one."""
        return self.models.get(name) or self.models.get(_DATED.sub("", name))

    def find_price(self, name: str) -> Price | None:
        """Find what a model's tokens cost, or `None` when nobody knows."""
        facts = self.find_facts(name)
        if facts is not None:
            return facts.price
        provider = self.providers.get(name.partition(":")[0])
        return FREE if provider is not None and provider.free else None


@cache
def load_table() -> Table:
    """Load and check the facts that come with Quorate."""
    return check_models(files(__package__ or "").joinpath(FILE).read_text(encoding="utf-8"))


def check_models(text: str, *, where: str = FILE) -> Table:
    """Read the facts, and check that they hold together.

    Raises:
        InvalidFiles: They do not; every fault is listed with its line.
    """
    try:
        data = cast("dict[str, object]", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidFiles("the model facts", [f"{where}: {error}"]) from error
    faults = [
        f"{where}: unknown table {name!r}; known: `provider`, `model`" for name in data.keys() - {"provider", "model"}
    ]
    providers = _read_rows(
        data.get("provider", []), Provider, text=text, where=where, faults=faults, check=_check_provider
    )

    def check_owner(row: ModelFacts) -> None:
        owner = row.name.partition(":")[0]
        if owner not in providers:
            raise UnknownName("provider", owner, providers)
        if row.price.cached is not None and row.price.cached > row.price.input:
            raise InvalidInput("`price.cached` is above `price.input`.")

    models = _read_rows(data.get("model", []), ModelFacts, text=text, where=where, faults=faults, check=check_owner)
    if faults:
        raise InvalidFiles("the model facts", faults)
    return Table(providers=providers, models=models)


def _read_rows(
    rows: object, type_: type[Row], *, text: str, where: str, faults: list[str], check: Callable[[Row], None]
) -> dict[str, Row]:
    header = "provider" if type_ is Provider else "model"
    if not isinstance(rows, list):
        faults.append(f"{where}: `{header}` must be a list of tables: write `[[{header}]]`")
        return {}
    found: dict[str, Row] = {}
    lines = _find_lines(text.splitlines(), f"[[{header}]]")
    for place, raw in enumerate(cast("Sequence[object]", rows)):
        at = f"{where}:{lines[place]}" if place < len(lines) else where
        try:
            row = msgspec.convert(raw, type_)
            check(row)
        except (msgspec.ValidationError, InvalidInput) as error:
            faults.append(f"{at}: {header}: {error}")
            continue
        name = cast("Provider", row).name
        if name in found:
            faults.append(f"{at}: {header}: {name!r} is there twice")
        found[name] = row
    return found


def _find_lines(lines: Iterable[str], header: str) -> list[int]:
    return [number for number, line in enumerate(lines, 1) if line.split("#", 1)[0].strip() == header]


def _check_provider(row: Provider) -> None:
    check_base_url(row.base_url, what="base_url")
