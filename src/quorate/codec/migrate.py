"""How is a message of an older version read by a newer one?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from msgspec import Struct

from quorate.errors import Conflict, InvalidInput

T = TypeVar("T")
Fields = dict[str, object]


class Migration(Struct, frozen=True, kw_only=True):
    """One step from a version of a kind to another one."""

    kind: str
    version: str
    """From which version, such as `0.9`."""
    to: str
    change: Callable[[Fields], Fields]
    """Gives the fields as the later version has them; it may change what it is given."""


class Migrations:
    """The steps that a program knows; none is registered by an import."""

    def __init__(self, steps: Iterable[Migration] = ()) -> None:
        self._steps: dict[tuple[str, str], Migration] = {}
        for step in steps:
            place = (step.kind, step.version)
            if place in self._steps:
                raise Conflict(f"There are two migrations of {step.kind!r} from version {step.version!r}.")
            self._steps[place] = step

    def has(self, kind: str, version: str) -> bool:
        """Whether a step leads from a version of a kind."""
        return (kind, version) in self._steps

    def lead(self, kind: str, version: str, fields: Fields, type_: type[T]) -> T:
        """Lead fields through all steps there are, and check what comes out.

        Raises:
            InvalidInput: No step leads from that version, the steps go in a circle, or the result does not fit.
        """
        seen = {version}
        if not self.has(kind, version):
            raise InvalidInput(f"{kind!r} has version {version!r}, and no migration leads from there.")
        while (step := self._steps.get((kind, version))) is not None:
            fields, version = step.change(fields), step.to
            if version in seen:
                raise InvalidInput(f"The migrations of {kind!r} go in a circle at version {version!r}.")
            seen.add(version)
        try:
            return msgspec.convert(fields, type_, builtin_types=(bytes,), str_keys=True)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{kind!r} does not fit after its migration to {version!r}: {error}") from error


NO_MIGRATIONS = Migrations()
