"""What does a file of facts say about a bus and its tenants, and what is wrong with it?

```toml
[server]
listen = "127.0.0.1:4222"

[tenants.acme]
max_disk = "4GB"

[tenants.acme.principals.worker]
role = "worker"
```
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import msgspec
from msgspec import Struct, structs

from quorate.bus.accounts.facts import (
    DEFAULT_PRINCIPALS,
    ClusterFacts,
    Facts,
    PrincipalFacts,
    ServerFacts,
    TenantFacts,
    TlsFacts,
)
from quorate.bus.accounts.sense import find_nonsense
from quorate.codec.toml import find_line
from quorate.errors import InvalidFiles, InvalidInput

Place = tuple[str, ...]
Table = Mapping[str, object]
T = TypeVar("T", bound=Struct)

MOST_BYTES = 1 << 20
SIZES = ("max_disk", "max_memory", "max_payload")
"""Which values are numbers of bytes, such as `"4GB"`."""
TABLES = ("server", "tls", "cluster", "tenants")
_SIZE = re.compile(r"([0-9]{1,12}) ?(B|KB|MB|GB|TB)")
_UNITS = {"B": 0, "KB": 10, "MB": 20, "GB": 30, "TB": 40}


def load_facts(path: Path) -> Facts:
    """Load a file of facts; paths in it are meant from where it is.

    Raises:
        InvalidFiles: It does not hold together; every fault is listed with its line.
        InvalidInput: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"{str(path)!r} has more than {MOST_BYTES} bytes, which no file of facts needs.")
    try:
        text = content.decode("utf-8-sig")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFiles("the facts of the bus", [f"{path}: it is no TOML: {error}"]) from error
    reader = _Reader()
    facts = reader.read(table, base=path.absolute().parent)
    faults = reader.faults or list(find_nonsense(facts))
    if faults:
        lines = sorted((find_line(text, place), ".".join(place), what) for place, what in faults)
        raise InvalidFiles("the facts of the bus", [f"{path}:{line}: `{key}` {what}" for line, key, what in lines])
    return facts


def read_size(value: object) -> object:
    """Read a number of bytes such as `"4GB"`; whatever else it is stays what it is."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) << _UNITS[found[2]] if found else value


class _Reader:
    """Reads tables into facts, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[tuple[Place, str]] = []

    def read(self, table: Table, *, base: Path) -> Facts:
        for name in table.keys() - set(TABLES):
            self._add((name,), f"is not known here; {_suggest(name, TABLES)}")
        server = self._read_struct(table.get("server", {}), ServerFacts, ("server",))
        tls = self._read_struct(table["tls"], TlsFacts, ("tls",)) if "tls" in table else None
        cluster = self._read_struct(table["cluster"], ClusterFacts, ("cluster",)) if "cluster" in table else None
        tenants = {
            name: self._read_tenant(value, ("tenants", name))
            for name, value in self._read_table(table.get("tenants", {}), ("tenants",)).items()
        }
        return Facts(
            server=_resolve(server or ServerFacts(), base, "store"),
            tls=_resolve(tls, base, "cert", "key", "ca") if tls is not None else None,
            cluster=cluster,
            tenants={name: tenant for name, tenant in tenants.items() if tenant is not None},
        )

    def _read_tenant(self, value: object, place: Place) -> TenantFacts | None:
        table = dict(self._read_table(value, place))
        given = self._read_table(table.pop("principals", {}), (*place, "principals"))
        principals = {
            name: self._read_struct(one, PrincipalFacts, (*place, "principals", name)) for name, one in given.items()
        }
        tenant = self._read_struct(table, TenantFacts, place)
        if tenant is None:
            return None
        found = {name: principal for name, principal in principals.items() if principal is not None}
        return structs.replace(tenant, principals=found if given else dict(DEFAULT_PRINCIPALS))

    def _read_struct(self, value: object, kind: type[T], place: Place) -> T | None:
        """Read one table; each value on its own, so that all that are wrong are told."""
        fields = {field.name: field for field in structs.fields(kind)}
        values: dict[str, object] = {}
        table, before = self._read_table(value, place), len(self.faults)
        for name, given in table.items():
            if name not in fields:
                self._add((*place, name), f"is not known here; {_suggest(name, fields)}")
                continue
            try:
                values[name] = msgspec.convert(
                    read_size(given) if name in SIZES else given, cast("type[object]", fields[name].type)
                )
            except msgspec.ValidationError as error:
                hint = ", such as `4GB`" if name in SIZES else ""
                self._add((*place, name), f"is {str(given)[:80]!r}: {str(error).split(' - at')[0]}{hint}")
        for name in sorted(field.name for field in fields.values() if field.required and field.name not in table):
            self._add(place, f"needs `{name}`, which is missing")
        return kind(**values) if len(self.faults) == before and isinstance(value, Mapping) else None

    def _read_table(self, value: object, place: Place) -> Table:
        if not isinstance(value, Mapping):
            self._add(place, f"must be a table; write it as `[{'.'.join(place)}]`")
            return {}
        return cast("Table", value)

    def _add(self, place: Place, what: str) -> None:
        self.faults.append((place, what))


def _resolve(value: T, base: Path, *names: str) -> T:
    """Make paths absolute."""
    return structs.replace(value, **{name: str(base / path) for name in names if (path := str(getattr(value, name)))})


def _suggest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    said = f"did you mean `{near[0]}`? " if near else ""
    return f"{said}There are {', '.join(f'`{choice}`' for choice in choices)}"
