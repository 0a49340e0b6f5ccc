"""What does a runtime let its runs reach beside their logs?"""

from __future__ import annotations

from collections.abc import Callable

from quorate.errors import UnknownName
from quorate.ids import check_id
from quorate.ports import KeyValue, RunArtifacts, RunContext, RunState, Services, Sharing
from quorate.state.artifacts import ArtifactStore, RunArtifactsView
from quorate.state.confined import ConfinedValues
from quorate.state.scopes import RunStateView, StateStore

ROOMS = ("decision", "memory", "trust")
"""What runs share within a tenant beside stored values and artifacts."""


class RunServices:
    """Stored values and artifacts for runs; each call gets views that reach as far as its run does.

    The stores are opened when the first call asks for one, since most runs ask for neither.
    """

    def __init__(
        self,
        *,
        state: Callable[[], StateStore],
        artifacts: Callable[[], ArtifactStore],
        values: Callable[[], KeyValue],
        path: tuple[tuple[Sharing, str], ...] = (),
    ) -> None:
        self._state = state
        self._artifacts = artifacts
        self._values = values
        self._path = path

    def open_state(self, context: RunContext[object]) -> RunState:
        """Open stored values for a call."""
        view = RunStateView.of(self._state(), context)
        for sharing, path in self._path:
            view = view.open_child(sharing, path)
        return view

    def open_artifacts(self, context: RunContext[object]) -> RunArtifacts:
        """Open artifacts for a call."""
        return RunArtifactsView.of(self._artifacts(), context)

    def open_values(self, context: RunContext[object], room: str) -> KeyValue:
        """Open what a room keeps for the tenant.

        Raises:
            UnknownName: There is no such room for runs.
        """
        if room not in ROOMS:
            raise UnknownName("room", room, ROOMS)
        return ConfinedValues(self._values(), f"{room}/{check_id(context.tenant, 'tenant')}/")

    def open_child(self, sharing: Sharing, path: str) -> Services:
        """Build what a delegate at `path` may reach."""
        return RunServices(
            state=self._state, artifacts=self._artifacts, values=self._values, path=(*self._path, (sharing, path))
        )
