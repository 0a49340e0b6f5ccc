"""What becomes of the runs of a worker whose link to the others is cut, and of the worker when it is mended?"""

import asyncio
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.chaos.broker import wait_until
from tests.chaos.fleets import Fleet, hear, open_fleet
from tests.chaos.network import Site, Way, open_site

from quorate.errors import Fenced
from quorate.events import ATTEMPTS
from quorate.testing.nats_server import open_nats_server
from quorate.testing.postgres_server import PostgresServer, open_postgres_server

BROKER = "127.0.0.2"
"""Where the broker listens: the database has another address, so that one can be out of reach without the other."""
LEASE_S = 2.0


class Cut(Struct, frozen=True, kw_only=True):
    """What came of a cut."""

    runs: int
    taken_after_s: float
    """From the cut to the last takeover."""
    fenced: int
    """How many runs the worker let go of when it could reach the others again."""


@contextmanager
def open_divided(folder: Path, *, seed: int) -> Generator[tuple[Fleet, Site]]:
    """Open a fleet with a database and a broker over the network, and a site from which both are reached."""
    lines = [f'host: "{BROKER}"']
    with open_site() as site, open_nats_server(lines=lines) as broker, open_postgres_server() as server:
        admit_site(server)
        database = asyncio.run(server.create_database())
        bus = f"nats://{BROKER}:{broker.port}"
        with open_fleet(folder, database, seed=seed, lease_s=LEASE_S, bus=bus) as fleet:
            yield fleet, site


def admit_site(server: PostgresServer) -> None:
    """Let the site's address in, as loopback's is."""
    with (server.folder / "data" / "pg_hba.conf").open("a") as file:
        file.write("host all all 10.77.0.0/29 scram-sha-256\n")
    os.kill(server.pids[0], signal.SIGHUP)


def cut_off_a_worker(folder: Path, *, way: Way, cut_s: float, runs: int, seed: int) -> Cut:
    """Cut a worker off in the middle of its runs; others do them once, and it does new ones after the cut.

    Args:
        folder: Where the journal is.
        way: Which way nothing comes through.
        cut_s: For how long at least.
        runs: How many it has then.
        seed: Of what is random.
    """
    gate = folder / "gate"
    gate.touch()
    with open_divided(folder, seed=seed) as (fleet, site):
        fleet.submit(runs)
        far, said = fleet.start(gate=str(gate), inside=site.inside), list[str]()
        hear(far, said)
        wait_until(lambda: count_lines(said, "taken") == runs and count_lines(said, "held") >= runs)
        site.cut(way)
        began = time.monotonic()
        near = fleet.start(heard=True)
        wait_until(lambda: count_lines(fleet.said, "taken") == runs)
        taken_after_s = time.monotonic() - began
        gate.write_text("open")  # whoever is cut off does what it has begun, and cannot record it
        fleet.wait_ended(within_s=60)
        ended = {run: len(events) for run, events in fleet.read().items()}
        time.sleep(max(began + cut_s - time.monotonic(), 0.0))
        assert count_lines(said, "ended") == 0, "it gave up although its database may come back"
        fleet.recorded.clear()  # the one call of each branch that it was in may have been made meanwhile
        site.heal(way)
        wait_until(lambda: count_lines(said, "ended") == runs)
        assert {run: len(events) for run, events in fleet.read().items()} == ended, "who was cut off wrote"
        assert count_attempts(fleet) == dict.fromkeys(ended, 2), "a run was not taken over exactly once"
        fleet.kill(near)
        fleet.submit(runs)
        fleet.wait_ended(within_s=60)
        fleet.check_ends()
        assert far.poll() is None
        fenced = sum(line.split()[:3] == ["ended", run, Fenced.code] for run in ended for line in said)
        return Cut(runs=runs, taken_after_s=taken_after_s, fenced=fenced)


def hide_the_broker(folder: Path, *, cut_s: float, runs: int, seed: int) -> Fleet:
    """Take the broker out of a worker's reach, and not the database: it works on, and is told again afterwards."""
    with open_divided(folder, seed=seed) as (fleet, site):
        worker = fleet.start(inside=site.inside, heard=True)
        fleet.submit(runs)
        fleet.wait_ended(within_s=60)
        site.hide(BROKER)
        began = time.monotonic()
        fleet.submit(runs)
        fleet.wait_ended(within_s=60)
        time.sleep(max(began + cut_s - time.monotonic(), 0.0))
        site.show(BROKER)
        fleet.submit(runs)
        fleet.wait_ended(within_s=60)
        fleet.check_ends()
        assert set(count_attempts(fleet).values()) == {1}, "a run was moved although its owner lived"
        assert worker.poll() is None
        return fleet


def count_lines(said: list[str], what: str) -> int:
    """Count what a worker said of that kind."""
    return sum(line.split()[0] == what for line in tuple(said))


def count_attempts(fleet: Fleet) -> dict[str, int]:
    """Count how often somebody began with each run."""
    return {run: sum(isinstance(e, ATTEMPTS) for e in events) for run, events in fleet.read().items()}
