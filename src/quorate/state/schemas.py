"""Of which shape is a stored value, and how does an older one become today's?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from quorate.errors import CorruptState, InvalidInput, describe_error
from quorate.state.places import check_name

Merge = Callable[[object, object], object]
"""Makes one value of what is stored and what somebody else wants to store."""
ConflictPolicy = Literal["refuse", "last_write"] | Merge
"""What becomes of a value when another revision is there than its writer knew: an error, it is written all the same, or
what a function makes of both."""
Migration = Callable[[object], object]
"""Takes plain data of one version and returns that of the next."""
NULL = Raw(b"null")


class StateSchema(Struct, frozen=True, kw_only=True):
    """What the values of one name are, in which version.

    It holds for the value `name` and for all below it (`cart` for `cart/42`); the longest name wins.
    Values of an older version are migrated when they are read and written back with the next change; those of a newer
    one are refused. What was stored before there was a schema has version 0.

    Raises:
        InvalidInput: The name is not one, or a migration leads nowhere.
    """

    name: str
    version: int = 1
    type: object = object
    """What `msgspec` can check values against: a struct, dataclass, `TypedDict`, `dict[str, int]`, a union."""
    migrations: Mapping[int, Migration] = MappingProxyType({})
    """By the version they start from: `{1: make_2_of_1, 2: make_3_of_2}`."""
    conflict: ConflictPolicy = "refuse"
    """What becomes of a value when another revision is there than its writer knew."""

    def __post_init__(self) -> None:
        """Check that it holds together."""
        check_name(self.name)
        if self.version < 1:
            raise InvalidInput(f"schema {self.name!r} has version {self.version!r}; versions begin with 1.")
        lost = sorted(step for step in self.migrations if not 0 <= step < self.version)
        if lost:
            raise InvalidInput(
                f"schema {self.name!r} has version {self.version} and migrations from {lost}: each starts from a "
                f"version below {self.version}."
            )


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The outside of a stored value."""

    schema: str = ""
    """The name of its schema; empty when it has none."""
    version: int = 0
    value: Raw = NULL
    gone: bool = False
    """Whether a delegate forgot what the agent above still has."""


_open = msgspec.json.Decoder(Envelope).decode
_read = msgspec.json.Decoder[object](object).decode
encode = msgspec.json.Encoder().encode
GONE = encode(Envelope(gone=True))


class Schemas:
    """All schemas of a store."""

    def __init__(self, schemas: Iterable[StateSchema] = ()) -> None:
        self._schemas: dict[str, StateSchema] = {}
        for schema in schemas:
            if schema.name in self._schemas:
                raise InvalidInput(f"there are two schemas {schema.name!r}: keep one.")
            self._schemas[schema.name] = schema

    def __iter__(self) -> Iterator[StateSchema]:
        """Yield them in the order they were given."""
        return iter(self._schemas.values())

    def find(self, name: str) -> StateSchema | None:
        """Find the schema a value has by its name, or `None`."""
        if not self._schemas:
            return None
        while name not in self._schemas:
            name, slash, _ = name.rpartition("/")
            if not slash:
                return None
        return self._schemas[name]


def open_envelope(data: bytes, *, where: str) -> Envelope:
    """Read the outside of a stored value.

    Raises:
        CorruptState: It does not verify.
    """
    try:
        return _open(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptState(f"{where} does not verify: {error}. Restore it from a backup, or delete it.") from error


def seal(plain: object, schema: StateSchema | None, *, where: str) -> bytes:
    """Write a value into an envelope, checked against its schema.

    Raises:
        InvalidInput: It does not fit, or cannot be written; the message gives the path.
    """
    try:
        if schema is None:
            return encode(Envelope(value=Raw(encode(plain))))
        typed = msgspec.convert(plain, schema.type, str_keys=True)
        return encode(Envelope(schema=schema.name, version=schema.version, value=Raw(encode(typed))))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{where} does not fit schema {_show(schema)}: {error}") from error
    except (UnicodeEncodeError, ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{where} cannot be written as JSON: {error}") from error


def open_value(envelope: Envelope, schema: StateSchema | None, *, where: str) -> object:
    """Read a value out of its envelope, migrated to the version of its schema where it is older.

    Raises:
        CorruptState: It does not fit, a migration fails, or it is of a newer version; the message says which.
        InvalidInput: There is no migration for one of the steps.
    """
    try:
        value = _read(envelope.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptState(f"{where} does not verify: {error}. Restore it from a backup, or delete it.") from error
    if schema is None:
        return value
    check_not_newer(envelope, schema, where=where)
    since = get_version(envelope, schema)
    value = _migrate(value, schema, since=since, where=where)
    try:
        return msgspec.convert(value, schema.type, str_keys=True)
    except msgspec.ValidationError as error:
        after = f" after its migration from version {since}" if since < schema.version else ""
        raise CorruptState(
            f"{where} does not fit schema {_show(schema)}{after}: {error}. It is left as it is."
        ) from error


def get_version(envelope: Envelope, schema: StateSchema) -> int:
    """Return which version of a schema a value has; 0 for one that was stored under no schema, or another one."""
    return envelope.version if envelope.schema == schema.name else 0


def check_not_newer(envelope: Envelope, schema: StateSchema, *, where: str) -> None:
    """Raise `CorruptState` when a value was written with a newer version of its schema."""
    if get_version(envelope, schema) > schema.version:
        raise CorruptState(
            f"{where} has version {envelope.version} of schema {schema.name!r}; this program knows versions up to "
            f"{schema.version}. Upgrade it; the value is left as it is.",
            version=envelope.version,
        )


def _migrate(value: object, schema: StateSchema, *, since: int, where: str) -> object:
    for step in range(since, schema.version):
        change = schema.migrations.get(step)
        if change is None:
            if step == 0:  # what was stored before there was a schema is taken as it is, and checked
                return value
            raise InvalidInput(
                f"{where} has version {step} of schema {schema.name!r}, and there is no migration from {step} to "
                f"{step + 1}: add it to `migrations`."
            )
        try:
            value = change(value)
        except Exception as error:  # a migration is anybody's code, and the stored value must outlive it
            raise CorruptState(
                f"{where}: the migration of schema {schema.name!r} from version {step} to {step + 1} failed: "
                f"{describe_error(error)}. The value is left as it is.",
                step=step,
            ) from error
    return value


def _show(schema: StateSchema | None) -> str:
    return f"{schema.name!r} (version {schema.version})" if schema is not None else ""
