"""Which providers and models are known, and what are the facts about them?

Each provider has a file in `catalog/`, which is read when the provider is used.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from quorate.errors import InvalidFiles, InvalidInput, UnknownName
from quorate.models.addresses import check_base_url
from quorate.models.cost import FREE, Price

Row = TypeVar("Row", bound=Struct)
DIRECTORY = Path(__file__).with_name("catalog")
MODELS = "the model facts"
Dialect = Literal["openai", "responses", "azure", "anthropic", "gemini", "vertex", "bedrock", "ollama", "litellm"]
"""The ways of speaking there are; each is a room in `providers/`."""
Setting = Literal[
    "temperature", "top_p", "top_k", "seed", "stop", "reasoning", "tool_choice", "tool", "parallel_tool_calls",
    "frequency_penalty", "presence_penalty", "prompt_cache",
]  # fmt: skip
EnvironmentName = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
PLACE = re.compile(r"\{([A-Z][A-Z0-9_]{0,63}(?:\|[A-Z][A-Z0-9_]{0,63})*)\}")
"""A place in a base URL that an environment name's value is put into; of several names, the first that is set."""
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$|[-@]\d{8}$")


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that answers requests."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    """The word before the colon in `openai:gpt-5.2`."""
    otel: Annotated[str, Meta(pattern="^[a-z0-9_.]{1,63}$")]
    """Its name as OpenTelemetry spells it (`gen_ai.provider.name`)."""
    base_url: str
    """Where it is; `{NAME}` stands for the value of an environment name, such as a region."""
    dialect: Dialect
    base_url_env: EnvironmentName | None = None
    """The name of the environment variable that replaces `base_url`."""
    key_env: EnvironmentName | None = None
    """The name of the environment variable that holds the key; none where no key is needed."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    native_output: bool = True
    """Whether it enforces a JSON Schema for the answer."""
    free: bool = False
    """Whether its tokens cost nothing, as on one's own machine."""
    listing: bool = True
    """Whether it lists its models."""
    embeddings: bool = False
    """Whether it turns texts into vectors."""
    token_env: EnvironmentName | None = None
    """The name of the environment variable that holds a bearer token, where one may stand for the key."""
    lacks: tuple[Setting, ...] = ("top_k",)
    """Which settings it does not know: they are refused."""
    thinking_field: Literal["", "reasoning_content", "reasoning", "reasoning_details"] = ""
    """Where a model's earlier reasoning goes back in chat completions; it does not where this is empty."""
    models_of: str = ""
    """Another provider whose models it serves, at the same prices."""
    reasoning_field: Literal["reasoning_effort", "reasoning"] = "reasoning_effort"
    """How chat completions say how hard to think: by a word, or by an object that holds it."""
    seed_field: Literal["seed", "random_seed"] = "seed"
    """How chat completions say where chance begins."""
    call_id_length: Annotated[int, Meta(ge=0, le=64)] = 0
    """How many letters and digits a call's id must have; others are written anew. Any will do where this is 0."""
    tools: bool = True
    """Whether its models call tools."""
    stream_options: bool = True
    """Whether the usage of a stream of chat completions must be asked for."""
    end_event: bool = True
    """Whether a stream of chat completions says by an event of its own that nothing more comes."""
    answers_results: bool = False
    """Whether the model must have said something between the results of its calls and what a person says next."""
    tool_names: str = ""
    """The pattern that names of tools must fit; any will do where this is empty."""
    file_env: EnvironmentName | None = None
    """The name of the environment variable that holds a key file or its path, with which a token is fetched instead."""


class ModelFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about one model."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]+:[!-~]{1,128}$")]
    """The name in full, such as `openai:gpt-5.2`."""
    context_tokens: Annotated[int, Meta(gt=0)]
    price: Price
    kind: Literal["chat", "embedding"] = "chat"
    max_output_tokens: Annotated[int, Meta(gt=0)] | None = None
    tools: bool = True
    vision: bool = False
    audio: bool = False
    files: bool = False
    reasoning: bool = False
    native_output: bool | None = None
    """Whether it enforces a JSON Schema; as its provider does, when nothing is said."""
    dimensions: Annotated[int, Meta(gt=0)] | None = None
    """How long an embedding model's vectors are."""
    deprecated: str = ""
    """When it ends, and what to use instead."""
    thinking: Literal["", "adaptive", "always", "between", "budget", "level"] = ""
    """How it is told to think, where its format knows several ways; the newest one when nothing is said."""
    efforts: tuple[Literal["none", "minimal", "low", "medium", "high"], ...] = ()
    """Which words of `reasoning` it knows; all that its format has when nothing is said."""
    sampling: bool = True
    """Whether `temperature`, `top_p` and `top_k` may be set."""
    forced_tools: bool = True
    """Whether a tool call can be demanded."""
    bound_thinking: bool = False
    """Whether its reasoning is worth nothing to it once what came before was changed."""
    dialect: Dialect | None = None
    """How it is asked, where its provider asks its other models otherwise."""


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
            raise unknown_provider(name, self.providers)
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
    """Load and check the facts about all providers that come with Quorate."""
    tables = [load_provider(name) for name in list_providers()]
    return Table(
        providers={name: row for table in tables for name, row in table.providers.items()},
        models={name: row for table in tables for name, row in table.models.items()},
    )


@cache
def load_provider(name: str) -> Table:
    """Load and check the facts about one provider and its models; nothing else is read.

    Raises:
        UnknownName: There is no such provider; the nearest is suggested.
    """
    known = list_providers()
    if name not in known:
        raise unknown_provider(name, known)
    file = DIRECTORY / f"{name}.toml"
    table = check_models(file.read_text(encoding="utf-8"), where=file.name)
    other = table.providers[name].models_of
    if not other:
        return table
    lent = {f"{name}:{row.name.partition(':')[2]}": row for row in load_provider(other).models.values()}
    # How a model is asked is its own provider's affair.
    models = {full: msgspec.structs.replace(row, name=full, dialect=None) for full, row in lent.items()}
    return Table(providers=table.providers, models={**models, **table.models})


def load_facts(name: str, *, own: Table | None = None) -> Table:
    """Load the facts about one provider and its models, with one's own above those that come with Quorate.

    Raises:
        UnknownName: There is no such provider; the nearest is suggested.
    """
    if own is None:
        return load_provider(name)
    known = list_providers()
    if name not in known:
        if name not in own.providers:
            raise unknown_provider(name, {*known, *own.providers})
        return own
    shipped = load_provider(name)
    return Table(providers={**shipped.providers, **own.providers}, models={**shipped.models, **own.models})


@cache
def list_providers() -> tuple[str, ...]:
    """List the names of the providers there are, in order."""
    return tuple(sorted(name.removesuffix(".toml") for name in os.listdir(DIRECTORY) if name.endswith(".toml")))


def unknown_provider(name: str, known: Iterable[str]) -> UnknownName:
    """Say that there is no such provider."""
    hint = "A model is named `provider:model`; `playbook` needs no provider and no key."
    return UnknownName("model provider", name, known, hint)


def check_models(text: str, *, where: str = "models.toml") -> Table:
    """Read the facts, and check that they hold together.

    Raises:
        InvalidFiles: They do not; every fault is listed with its line.
    """
    try:
        data = cast("dict[str, object]", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidFiles(MODELS, [f"{where}: {error}"]) from error
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
        raise InvalidFiles(MODELS, faults)
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
    check_base_url(PLACE.sub("x", row.base_url), what="base_url")
    try:
        re.compile(row.tool_names)
    except re.error as error:
        raise InvalidInput(f"`tool_names` is no pattern: {error}.") from error
