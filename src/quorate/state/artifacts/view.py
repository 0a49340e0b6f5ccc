"""How does a run reach its artifacts, and no others?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable

from quorate.events import ArtifactSaved
from quorate.ports import ArtifactInfo, RunContext
from quorate.state.artifacts.access import Caller
from quorate.state.artifacts.store import ArtifactStore


class RunArtifactsView:
    """A store of artifacts as far as one step of a run may reach; see `quorate.ports.RunArtifacts`."""

    def __init__(
        self,
        store: ArtifactStore,
        *,
        caller: Caller,
        step: str = "",
        record: Callable[[ArtifactInfo], None] = lambda info: None,
    ) -> None:
        self._store = store
        self._caller = caller
        self._step = step
        self._record = record

    @classmethod
    def of(cls, store: ArtifactStore, context: RunContext[object]) -> RunArtifactsView:
        """Build the view of one call of a run; what it saves is noted in the run's log."""
        step, owner = context.key, context.owner

        def record(info: ArtifactInfo) -> None:
            # Below the step's own key, under which the log must find what became of the step itself.
            key = f"{step}/artifact/{info.id}"
            if owner.find(key) is None:
                owner.record(
                    ArtifactSaved,
                    key,
                    artifact=info.id,
                    name=info.name,
                    media_type=info.media_type,
                    size=info.size,
                    digest=info.digest,
                )

        caller = Caller(tenant=context.tenant, principal=context.principal, session=context.session, run=context.run)
        return cls(store, caller=caller, step=step, record=record)

    async def save(
        self,
        name: str,
        data: bytes | str | AsyncIterable[bytes],
        *,
        media_type: str = "",
        labels: dict[str, str] | None = None,
    ) -> ArtifactInfo:
        """Keep bytes under a name, as its next version; the same step with the same bytes gets the same artifact.

        Raises:
            InvalidInput: The name is not one.
            TooLarge: There are more bytes than may be kept.
        """
        info = await self._store.save(
            name, data, caller=self._caller, media_type=media_type, labels=labels, step=self._step
        )
        self._record(info)
        return info

    async def find(self, name: str, *, version: int | None = None) -> ArtifactInfo | None:
        """Find an artifact by its handle, or by name (the last version, or a given one); `None` if there is none."""
        return await self._store.find(name, caller=self._caller, version=version)

    def open(self, artifact: ArtifactInfo | str) -> AsyncGenerator[bytes]:
        """Yield an artifact's bytes, verified at the end.

        Raises:
            NotFound: There is none, or it is not for this run.
            CorruptState: The bytes are not those that were saved.
        """
        return self._store.open(artifact, caller=self._caller)

    async def load(self, artifact: ArtifactInfo | str) -> bytes:
        """Return all of an artifact's bytes; raises what `open` raises."""
        return await self._store.load(artifact, caller=self._caller)
