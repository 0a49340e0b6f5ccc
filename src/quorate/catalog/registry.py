"""Which agents are there now, for whom, and has anything changed?"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from msgspec import Struct

from quorate.catalog.check import Tools
from quorate.catalog.collect import list_roots
from quorate.catalog.files import BUILTIN, list_files
from quorate.catalog.index import Stamp, build_stamp
from quorate.catalog.load import Catalog, load_catalog
from quorate.catalog.overlay import overlay_agents
from quorate.catalog.shape import Fault
from quorate.errors import InvalidFiles
from quorate.ids import check_id

MOST_TENANTS = 256
"""Tenants whose catalogs are kept; that of another is built again when it is asked for."""
Snapshot = Mapping[str, Stamp]
"""Files as they were when they were read."""


class Reload(Struct, frozen=True, kw_only=True):
    """What came of looking whether files have changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    """Why nothing was taken over: what was there before is there still."""


class Registry:
    """The agents of some directories, read again when they change, with those of each tenant beside them.

    A catalog that was handed out never changes; who holds one goes on with it. Reading files takes time, so call from a
    thread what does. It may be used from several at once.
    """

    def __init__(
        self,
        directories: Sequence[Path] = (),
        *,
        tools: Tools | None = None,
        may_replace: bool = False,
        builtin: Path | None = BUILTIN,
        tenants: Path | None = None,
        index: Path | None = None,
    ) -> None:
        """Load the agents.

        Args:
            directories: Where they are.
            tools: The tools there are.
            may_replace: Whether a marked file may stand in for a built-in agent.
            builtin: The directory of built-in agents; `None` for none.
            tenants: Where each tenant's own are, in a directory of the tenant's name.
            index: Where to keep what is known of files.

        Raises:
            InvalidFiles: Some do not hold together; every fault is listed.
        """
        self._roots = list_roots(directories, builtin)
        self._directories, self._builtin = tuple(directories), builtin
        self._tools, self._may_replace, self._index = tools, may_replace, index
        self._tenants = tenants
        self._lock = Lock()
        self._snapshot: Snapshot = self._look(self._roots)
        self._catalog = self._load()
        self._of_tenants: OrderedDict[str, tuple[Catalog, Snapshot, Catalog]] = OrderedDict()

    @property
    def catalog(self) -> Catalog:
        """The agents that everybody has."""
        return self._catalog

    def refresh(self) -> Reload:
        """Read the files again when any of them has changed; where they then have faults, keep what was there."""
        with self._lock:
            snapshot = self._look(self._roots)
            if snapshot == self._snapshot:
                return Reload()
            try:
                catalog = self._load()
            except InvalidFiles as error:
                return Reload(faults=error.faults)
            before, earlier = self._catalog, self._snapshot
            self._catalog, self._snapshot = catalog, snapshot
        paths = {path for path, stamp in snapshot.items() if earlier.get(path) != stamp}
        was = {entry.name for entry in catalog if entry.source in paths}
        old, new = set(before.names()), set(catalog.names())
        return Reload(
            added=tuple(sorted(new - old)), removed=tuple(sorted(old - new)), changed=tuple(sorted(was & old & new))
        )

    def find_catalog(self, tenant: str) -> Catalog:
        """Find the agents of a tenant: those that everybody has, and the tenant's own.

        Raises:
            InvalidInput: It is no name of a tenant.
            InvalidFiles: Its files do not hold together; every fault is listed.
        """
        if self._tenants is None:
            return self._catalog
        folder = self._tenants / check_id(tenant, "tenant")
        if folder.is_symlink() or not folder.is_dir():
            return self._catalog
        snapshot = self._look({os.path.realpath(folder): False})
        with self._lock:
            base, known = self._catalog, self._of_tenants.get(tenant)
            if known is not None and known[0] is base and known[1] == snapshot:
                self._of_tenants.move_to_end(tenant)
                return known[2]
        own = overlay_agents(base, [folder], tools=self._tools)
        with self._lock:
            self._of_tenants[tenant] = base, snapshot, own
            self._of_tenants.move_to_end(tenant)
            while len(self._of_tenants) > MOST_TENANTS:
                self._of_tenants.popitem(last=False)
        return own

    def _load(self) -> Catalog:
        return load_catalog(
            self._directories,
            tools=self._tools,
            may_replace=self._may_replace,
            builtin=self._builtin,
            index=self._index,
        )

    def _look(self, roots: Mapping[str, bool]) -> Snapshot:
        faults: list[Fault] = []
        found: dict[str, Stamp] = {}
        for root in roots:
            for entry in list_files(root, faults):
                try:
                    found[entry.path] = build_stamp(entry.stat())
                except OSError:
                    continue  # gone since it was listed: the next look will say so
        return found
