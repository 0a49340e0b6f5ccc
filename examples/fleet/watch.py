"""Who of a fleet does what? Read from what is recorded: the workers' rows and the runs' logs."""

from dataclasses import dataclass, field
from typing import Protocol

from parcels import STEPS, count_steps

from quorate.events import ATTEMPTS, ENDINGS, AnyEvent, get_kind
from quorate.ports import Store
from quorate.runtime.registry import list_workers


class Tell(Protocol):
    """Told what happens."""

    def __call__(self, text: str, *, always: bool = False) -> None: ...


@dataclass
class Member:
    """A worker."""

    name: str
    pid: int
    state: str = "begins"
    concurrency: int = 0
    owners: set[str] = field(default_factory=set)
    """Under which names it owned runs."""


@dataclass
class Parcel:
    """A run, and how far it is."""

    name: str
    run: str
    status: str = "queued"
    steps: int = 0
    owners: list[str] = field(default_factory=list)
    """Who began an attempt, one after the other."""
    events: int = 0
    taken_over: list[float] = field(default_factory=list)
    """When others went on with it."""


class Fleet:
    """Workers and runs, as they were when they were last looked at."""

    def __init__(self, store: Store, pids: list[int], *, tell: Tell) -> None:
        self.members = [Member(f"worker {number}", pid) for number, pid in enumerate(pids, 1)]
        self.parcels: dict[str, Parcel] = {}
        self._store = store
        self._tell = tell

    def add(self, name: str, run: str) -> None:
        """Watch one more run."""
        self.parcels[run] = Parcel(name, run)

    async def look(self) -> None:
        """Look at the workers, and at the runs that have not ended."""
        rows = {row.pid: row for row in await list_workers(self._store)}
        for member in self.members:
            row = rows.get(member.pid)
            if row is not None and member.state != "killed":
                member.state, member.concurrency = row.state, row.concurrency
            if row is not None and row.owner:
                member.owners.add(row.owner)
        going = [run for run, parcel in self.parcels.items() if parcel.status != "completed"]
        for run, events in (await self._store.log.read_many(going)).items():
            self._follow(self.parcels[run], events)

    def _follow(self, parcel: Parcel, events: list[AnyEvent]) -> None:
        for event in events[parcel.events :]:
            if isinstance(event, ATTEMPTS):
                self._begin(parcel, event.owner, event.time)
            elif isinstance(event, ENDINGS):
                parcel.status = get_kind(event).removeprefix("run.")
                self._tell(f"{self.name(parcel.owners[-1])}  {parcel.status} {parcel.name}")
        parcel.steps, parcel.events = count_steps(events), len(events)

    def _begin(self, parcel: Parcel, owner: str, when: float) -> None:
        if parcel.owners and parcel.owners[-1] != owner:
            parcel.taken_over.append(when)
            before = self.name(parcel.owners[-1])
            words = f"takes over {parcel.name} from {before}, {parcel.steps} of {len(STEPS)} steps done"
        else:
            words = f"takes {parcel.name}"
        self._tell(f"{self.name(owner)}  {words}", always=bool(parcel.taken_over))
        parcel.owners.append(owner)
        parcel.status = "running"

    def name(self, owner: str) -> str:
        """Find whose name that is."""
        return next((member.name for member in self.members if owner in member.owners), owner)

    def list_held(self, member: Member) -> list[Parcel]:
        """List what a worker packs now."""
        running = (parcel for parcel in self.parcels.values() if parcel.status == "running")
        return [parcel for parcel in running if parcel.owners[-1] in member.owners]

    def list_open(self, member: Member) -> list[Parcel]:
        """List what a worker packs now and has not nearly done."""
        return [parcel for parcel in self.list_held(member) if parcel.steps < len(STEPS) - 1]

    def is_in_the_middle(self) -> bool:
        """Whether a third of all steps is done."""
        return 3 * sum(parcel.steps for parcel in self.parcels.values()) >= len(STEPS) * len(self.parcels)

    def count_left(self) -> int:
        """Count what is not packed yet."""
        return sum(parcel.status != "completed" for parcel in self.parcels.values())

    def count_packed(self, member: Member) -> int:
        """Count what a worker brought to its end."""
        done = (parcel for parcel in self.parcels.values() if parcel.status == "completed")
        return sum(parcel.owners[-1] in member.owners for parcel in done)

    def count_taken_over(self, member: Member) -> int:
        """Count what a worker went on with that another one had begun."""
        moved = (parcel for parcel in self.parcels.values() if parcel.taken_over)
        return sum(parcel.owners[-1] in member.owners for parcel in moved)
