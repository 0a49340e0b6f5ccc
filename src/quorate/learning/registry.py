"""Which trained models are there, where is each from, and which one is in use?

A model's bytes are a blob under their digest; what is known of a version, and which version is in which stage, are
values. A version never changes once it is registered, and bytes that are not those that were registered are refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, TypeVar, get_args

from msgspec import Struct, structs

from quorate.clock import SYSTEM_CLOCK, Clock
from quorate.codec.json import decode, encode
from quorate.errors import Conflict, CorruptState, InvalidInput, NotFound, TooLarge, UnknownName
from quorate.ids import check_id
from quorate.learning.model import MOST_BYTES, Model, ModelPredictor, digest, read_model, write_model
from quorate.learning.train import Training
from quorate.ports import Blobs, Entry, KeyValue

PREFIX = "learning"
PAGE = 100
MOST_CHANGES = 200
"""How many promotions are remembered."""
MOST_TRIES = 20
PIECE = 1 << 20
Stage = Literal["staging", "production"]


class Lineage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a model is from."""

    data: str
    """SHA-256 over its examples."""
    source: str
    """Where those were from."""
    examples: int
    algorithm: str
    parameters: dict[str, float] = {}
    seed: int = 0
    how: str = ""
    """What it was trained by."""
    code: str = ""
    """The version of Quorate that trained it."""
    parents: tuple[int, ...] = ()
    """Versions of the same name that it follows, such as the one that was in use."""


class ModelVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one version of a model; it never changes."""

    tenant: str
    name: str
    version: int
    digest: str
    """SHA-256 of its bytes."""
    size: int
    created: float
    """Wall time."""
    by: str = "local"
    labels: int = 0
    lineage: Lineage
    metrics: dict[str, float] = {}


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a version came into a stage."""

    stage: Stage
    version: int
    """0 where none is in it any more."""
    before: int = 0
    by: str = "local"
    reason: str = ""
    at: float = 0.0


class Stages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which version of a model is in which stage, and how that came."""

    current: dict[str, int] = {}
    changes: tuple[Change, ...] = ()
    """The latest last."""


_Kept = TypeVar("_Kept", ModelVersion, Stages)


class ModelRegistry:
    """Keeps the trained models of one tenant.

    Args:
        values: Where what is known of them is kept.
        blobs: Where their bytes are.
        tenant: Whose they are.
        clock: Where time comes from.
    """

    def __init__(self, values: KeyValue, blobs: Blobs, *, tenant: str = "default", clock: Clock = SYSTEM_CLOCK) -> None:
        self._values = values
        self._blobs = blobs
        self._tenant = check_id(tenant, "tenant")
        self._clock = clock

    async def register(self, name: str, training: Training, lineage: Lineage, *, by: str = "local") -> ModelVersion:
        """Keep a trained model as the next version of its name.

        Args:
            name: What it is called.
            training: What was trained.
            lineage: Where it is from.
            by: Who says so.

        Raises:
            InvalidInput: The name is none, or a parent is not there.
            TooLarge: The model is larger than is kept.
        """
        check_id(name, "model name")
        for parent in lineage.parents:
            await self.get(name, parent)
        data = write_model(training.model)
        found = digest(data)
        # The bytes first: a version that names no bytes would be there, and could not be used.
        await self._blobs.put(self._build_blob(found), _cut(data))
        version = structs.replace(
            ModelVersion(
                tenant=self._tenant,
                name=name,
                version=0,
                digest=found,
                size=len(data),
                created=self._clock.now(),
                by=by,
                labels=len(training.model.labels),
                lineage=lineage,
                metrics=training.metrics,
            ),
            version=await self._find_last(name) + 1,
        )
        for _ in range(MOST_TRIES):
            try:
                await self._values.put(self._build_key(name, version.version), encode(version), if_revision=0)
            except Conflict:  # somebody registered another one meanwhile
                version = structs.replace(version, version=version.version + 1)
            else:
                return version
        raise Conflict(f"Model {name!r} is registered by too many at once: try again.")

    async def get(self, name: str, version: int | str) -> ModelVersion:
        """Return what is known of a version, by its number, its stage, or as `latest`.

        Raises:
            NotFound: There is none.
            UnknownName: It is no such word.
        """
        check_id(name, "model name")
        number = version if isinstance(version, int) else await self._find_number(name, version)
        entry = await self._values.get(self._build_key(name, number)) if number > 0 else None
        if entry is None:
            raise NotFound(f"There is no version {version!r} of model {name!r}: `quorate ml list` shows all.")
        return _read_entry(entry, ModelVersion)

    async def list_versions(self, name: str = "") -> list[ModelVersion]:
        """List the versions of a model from old to new, or of all models by name."""
        prefix = f"{PREFIX}/{self._tenant}/model/" + (f"{check_id(name, 'model name')}/" if name else "")
        found, last = list[ModelVersion](), ""
        while entries := await self._values.scan(prefix, after=last, limit=PAGE):
            found += [_read_entry(entry, ModelVersion) for entry in entries]
            last = entries[-1].key
        return found

    async def load(self, name: str, version: int | str = "production") -> ModelPredictor:
        """Load a version to predict with.

        Raises:
            NotFound: There is none.
            CorruptState: Its bytes are not those that were registered, or are gone: it is not used.
        """
        record = await self.get(name, version)
        data = await self._read(record)
        try:
            model: Model = read_model(data)
        except InvalidInput as error:
            raise CorruptState(f"Version {record.version} of model {name!r} cannot be used: {error.message}") from error
        return ModelPredictor(model, name=name, version=record.version)

    async def promote(
        self,
        name: str,
        version: int,
        stage: str,
        *,
        by: str = "local",
        reason: str = "",
        at_least: dict[str, float] | None = None,
    ) -> Stages:
        """Put a version into a stage; to go back, put the one of before there again.

        Args:
            name: Which model.
            version: Which version; 0 to leave the stage empty.
            stage: `staging` or `production`.
            by: Who says so.
            reason: Why.
            at_least: What its metrics must be at least, such as `{"accuracy": 0.8}`.

        Raises:
            UnknownName: There is no such stage.
            NotFound: There is no such version.
            InvalidInput: A metric is below what it must be, or is not there.
            CorruptState: Its bytes cannot be used.
            Conflict: Somebody else promotes at the same time: look again.
        """
        wanted = next((one for one in get_args(Stage) if one == stage), None)
        if wanted is None:
            raise UnknownName("stage", stage, get_args(Stage))
        if version:
            record = await self.get(name, version)
            _check_metrics(record, at_least or {})
            await self.load(name, version)
        key = f"{PREFIX}/{self._tenant}/stage/{check_id(name, 'model name')}"
        entry = await self._values.get(key)
        stages = Stages() if entry is None else _read_entry(entry, Stages)
        before = stages.current.get(wanted, 0)
        change = Change(stage=wanted, version=version, before=before, by=by, reason=reason[:500], at=self._clock.now())
        current = {**stages.current, wanted: version}
        stages = Stages(
            current={one: number for one, number in current.items() if number},
            changes=(*stages.changes, change)[-MOST_CHANGES:],
        )
        await self._values.put(key, encode(stages), if_revision=0 if entry is None else entry.revision)
        return stages

    async def read_stages(self, name: str) -> Stages:
        """Return which version of a model is in which stage."""
        key = f"{PREFIX}/{self._tenant}/stage/{check_id(name, 'model name')}"
        entry = await self._values.get(key)
        return Stages() if entry is None else _read_entry(entry, Stages)

    async def trace(self, name: str, version: int | str) -> list[ModelVersion]:
        """Return a version and all that it follows, the youngest first."""
        found: dict[int, ModelVersion] = {}
        waiting = [(await self.get(name, version)).version]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found[number] = await self.get(name, number)
                waiting += found[number].lineage.parents
        return [found[number] for number in sorted(found, reverse=True)]

    async def _find_number(self, name: str, word: str) -> int:
        if word == "latest":
            return await self._find_last(name)
        if word not in get_args(Stage):
            raise UnknownName("version or stage", word, (*get_args(Stage), "latest"))
        return (await self.read_stages(name)).current.get(word, 0)

    async def _find_last(self, name: str) -> int:
        versions = await self.list_versions(name)
        return versions[-1].version if versions else 0

    async def _read(self, record: ModelVersion) -> bytes:
        pieces, size = list[bytes](), 0
        try:
            async for piece in self._blobs.get(self._build_blob(record.digest)):
                pieces.append(piece)
                size += len(piece)
                if size > MOST_BYTES:
                    raise TooLarge(f"The bytes of model {record.name!r} are more than {MOST_BYTES}.")
        except (NotFound, TooLarge) as error:
            raise CorruptState(
                f"Version {record.version} of model {record.name!r} cannot be read: {error.message}"
            ) from error
        data = b"".join(pieces)
        if digest(data) != record.digest or size != record.size:
            raise CorruptState(
                f"The bytes of version {record.version} of model {record.name!r} are not those that were registered: "
                "it is not used. Restore them from a backup, or train it again.",
                digest=record.digest,
            )
        return data

    def _build_key(self, name: str, version: int) -> str:
        return f"{PREFIX}/{self._tenant}/model/{name}/{version:08d}"

    def _build_blob(self, found: str) -> str:
        return f"{self._tenant}/{PREFIX}/{found}"


def _read_entry(entry: Entry, kind: type[_Kept]) -> _Kept:
    try:
        return decode(entry.value, kind, what=f"the value under {entry.key!r}")
    except InvalidInput as error:
        raise CorruptState(error.message, key=entry.key) from error


def _check_metrics(record: ModelVersion, least: dict[str, float]) -> None:
    for name, value in least.items():
        found = record.metrics.get(name)
        if found is None:
            raise UnknownName("metric", name, record.metrics)
        if not found >= value:
            raise InvalidInput(
                f"Version {record.version} of model {record.name!r} has {name} {found:.4f}, and {value:g} is asked "
                "for: it is not promoted."
            )


async def _cut(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]
