"""What does every test run under? No network but loopback, no blocked event loop, repeatable data."""

import ipaddress
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from coverage import Coverage
from hypothesis import HealthCheck, settings
from tests.databases import database
from tests.postgres import postgres_dsn, postgres_server, postgres_spares

__all__ = ["database", "postgres_dsn", "postgres_server", "postgres_spares"]

settings.register_profile(
    "quorate",
    deadline=None,
    max_examples=40,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("soak", parent=settings.get_profile("quorate"), max_examples=2000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quorate"))

UNIT = Path(__file__).parent / "unit"
CHILDREN = Path(__file__).parent / "children.coveragerc"
COUNT_CHILDREN = "COVERAGE_PROCESS_START"
NEED_EXTRAS = (
    "acceptance",
    "contract/test_bus",
    "contract/test_caches",
    "contract/test_events",
    "contract/test_limits",
    "contract/test_models",
    "contract/test_postgres",
    "docs",
    "integration/host/test_measurements.py",
    "integration/bus",
    "integration/fleet",
    "integration/models",
    "integration/net",
    "integration/orchestration",
    "integration/replay",
    "integration/runtime",
    "integration/server",
    "integration/state/artifacts",
    "integration/state/backup",
    "integration/state/scopes",
    "integration/state/sessions",
    "integration/state/test_postgres",
    "integration/state/test_row_security",
    "integration/state/test_s3",
    "integration/telemetry",
    "integration/test_playbook_agents.py",
    "unit/agent/test_output.py",
    "unit/bus/accounts",
    "unit/bus/test_nats",
    "unit/catalog",
    "unit/tools/config",
    "unit/tools/data",
    "unit/telemetry/test_votes.py",
    "integration/tools",
    "integration/council",
    "unit/cli",
    "unit/language/test_conditions.py",
    "unit/codec",
    "unit/models/bedrock",
    "unit/models/guards",
    "unit/models/playbook",
    "unit/models/tokens",
    "unit/runtime",
    "unit/security/test_tokens.py",
    "unit/server",
    "unit/tools/core/test_define.py",
    "unit/tools/infra/test_certificates.py",
    "unit/orchestration/test_own",
    "unit/orchestration/test_team",
    "unit/orchestration/test_deciding",
    "unit/orchestration/test_workflow",
    "unit/cli/test_progress",
)
"""What is left out of a run with `WITHOUT_EXTRAS=1`, which shows that the rest needs the required packages alone."""
UNMEASURED = (
    "acceptance/test_demo_fleet.py",
    "acceptance/test_resume_kill.py",
    "contract/test_models.py::TestImitations::",
    "contract/test_models.py::TestModelFaults::test_a_stream_cut",
    "contract/test_models.py::TestModelFaults::test_a_whole_answer_cut",
    "docs/test_pages.py",
    "docs/test_reference.py",
    "house",
    "integration/fleet/test_boundaries.py",
    "integration/fleet/test_bus_chaos.py",
    "integration/fleet/test_fleet.py::test_ten_rounds_of_kills",
    "integration/fleet/test_partitions.py",
    "integration/server/test_fuzz.py",
    "integration/server/test_matrix.py::test_every_route",
    "integration/server/test_matrix.py::test_no_way_around",
    "integration/server/test_quotas.py::test_fifty",
    "integration/server/test_rolling.py",
    "integration/server/test_streams.py::test_many_read_one_run",
    "integration/state/backup/test_ctrl_c.py",
    "integration/state/test_postgres_crash.py",
    "integration/state/test_sqlite_crash.py",
    "unit/bus/test_hostile.py",
    "unit/bus/test_local.py::test_whoever_publishes_gives_way",
    "unit/bus/test_nats_parse.py::test_ten_thousand",
    "unit/codec/test_formats.py::test_ten_thousand",
    "unit/models/fuzz",
    "unit/models/gateway/test_attempts.py::test_a_total_failure",
    "unit/models/guards/test_leaks.py::test_many_small_pieces",
    "unit/models/guards/test_long_texts.py",
    "unit/models/guards/test_patterns.py::test_a_text_of_100_kb",
    "unit/models/limits/test_many_windows.py",
    "unit/models/sse/test_long_events.py",
    "unit/state/artifacts/test_races.py",
    "unit/state/backup/test_backup.py::test_a_restore_that_was_stopped",
    "unit/state/backup/test_backup.py::test_every_changed_byte",
    "unit/state/scopes/test_plain.py::test_size_is_bounded",
    "unit/tools/code/test_review.py::test_the_event_loop_goes_on",
    "unit/tools/files/test_regex.py::test_memory_of_a_search",
    "unit/tools/logs/test_report.py::test_a_large_log",
)
"""Whose lines are not counted, nor those of properties: they go the same way a thousand times or measure time, and
counting takes as long as the work itself. What they reach and no other test does counts as not reached."""
UNCOUNTED_PROGRAMS = (
    "acceptance/cli/test_approvals.py",
    "acceptance/cli/test_data.py",
    "acceptance/cli/test_databases.py",
    "acceptance/cli/test_decide.py",
    "acceptance/cli/test_feedback.py",
    "acceptance/cli/test_interrupt.py",
    "acceptance/cli/test_models.py",
    "acceptance/cli/test_readme.py",
    "acceptance/cli/test_replay.py",
    "acceptance/cli/test_runs.py",
    "acceptance/cli/test_schedules.py",
    "acceptance/cli/test_slo.py",
    "acceptance/cli/test_state.py",
    "acceptance/cli/test_tenants.py",
    "acceptance/cli/test_words.py",
    "acceptance/cli/test_workflow.py",
    "acceptance/test_demo",
    "acceptance/test_resume",
    "integration",
)
"""Whose programs are not counted, though the tests are: most are killed, others do in this process what they do, and
those that are many would spend a third of their time on being counted."""
LONG = ("integration/fleet", "integration/runtime", "integration/state", "integration/bus", "acceptance")
"""What is begun first: one of these at the end would keep one worker busy while the others have nothing to do."""
PRIVATE_SETTINGS = ("QUORATE_", "OPENAI_", "ANTHROPIC_", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs an extra, in the one run that has none."""
    if "WITHOUT_EXTRAS" not in os.environ:
        return None
    place = collection_path.relative_to(UNIT.parent).as_posix()
    return True if place.startswith(NEED_EXTRAS) else None


def pytest_sessionstart() -> None:
    """Have the programs that tests start keep what they compile, and be counted where this run counts lines."""
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as a shell without job control starts what is in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False  # nor would what is rewritten for this process be kept for those beside it
    measured = Coverage.current()
    if measured is not None:
        os.environ.setdefault("COVERAGE_FILE", os.path.abspath(str(measured.get_option("run:data_file"))))
        os.environ.setdefault(COUNT_CHILDREN, str(CHILDREN))


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Of the processes that run tests beside each other, let each import its share of the files before all of them.

    All must import everything, and the first time most of that is rewriting `assert`, which is kept. When they go
    through the files in the same order, each rewrites all of them; like this, each finds what the others have done.
    """
    if "PYTEST_XDIST_WORKER_COUNT" not in os.environ or "WITHOUT_EXTRAS" in os.environ:
        return
    own, count = int(os.environ["PYTEST_XDIST_WORKER"][2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    root = session.config.rootpath
    folders = [root / given for given in session.config.args]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.rglob("test_*.py"))]
    for file in files[own::count]:
        with suppress(Exception, pytest.skip.Exception):  # what is wrong with it is told when it is collected
            import_module(".".join(file.relative_to(root).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; otherwise the order stays."""
    items.sort(key=lambda item: not item.nodeid.removeprefix("tests/").startswith(LONG))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Forget half-written counts before they are put together, once all who write any have ended."""
    try:
        return (yield)
    finally:
        measured = Coverage.current()
        if measured is not None and not hasattr(session.config, "workerinput"):
            forget_broken_counts(Path(os.path.abspath(str(measured.get_option("run:data_file")))))


def forget_broken_counts(beside: Path) -> None:
    """Remove the counts of programs that were killed while they wrote them; each would be warned of."""
    for path in beside.parent.glob(f"{beside.name}.*"):
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("SELECT version FROM coverage_schema").fetchone()
        except sqlite3.Error:
            path.unlink(missing_ok=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Do not count lines where a test repeats itself, nor in the programs it starts."""
    name = item.nodeid.removeprefix("tests/")
    is_counted = not (name.startswith(UNMEASURED) or item.get_closest_marker("hypothesis"))
    if is_counted and not name.startswith(UNCOUNTED_PROGRAMS):
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    in_children = os.environ.pop(COUNT_CHILDREN, None)
    if not is_counted:
        sys.settrace(None)
        threading.settrace(None)  # pyright: ignore[reportArgumentType]
    try:
        return (yield)
    finally:
        if not is_counted:
            sys.settrace(here)
            threading.settrace(in_threads)  # pyright: ignore[reportArgumentType]
        if in_children is not None:
            os.environ[COUNT_CHILDREN] = in_children


def is_local(address: object) -> bool:
    """Whether a socket address stays on this machine: loopback, unspecified, or no IP socket at all."""
    if not isinstance(address, tuple) or not address:
        return True
    try:
        host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return str(address[0]) in {"", "localhost"}
    mapped = getattr(host, "ipv4_mapped", None) or host
    return mapped.is_loopback or mapped.is_unspecified


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to leave the machine: a test that needs the outside is a test that fails on a train."""

    class LoopbackSocket(socket.socket):
        def connect(self, address: object) -> None:
            check(address)
            super().connect(address)  # pyright: ignore[reportArgumentType]

        def connect_ex(self, address: object) -> int:
            check(address)
            return super().connect_ex(address)  # pyright: ignore[reportArgumentType]

        def sendto(self, data: bytes, *rest: object) -> int:
            check(rest[-1])
            return super().sendto(data, *rest)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def check(address: object) -> None:
        if not is_local(address):
            raise PermissionError(f"tests stay on loopback; refused to reach {address!r}")

    monkeypatch.setattr(socket, "socket", LoopbackSocket)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, key or file of the person who runs the tests reaches them; the home is a temporary one."""
    for name in [n for n in os.environ if n.startswith(PRIVATE_SETTINGS)]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (("DATA", "data"), ("STATE", "state"), ("CONFIG", "config"), ("CACHE", "cache")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))


@pytest.fixture(scope="session")
def blocking_detector() -> BlockBuster:
    """What finds blocking calls; made once, since making it takes as long as a small test."""
    return BlockBuster(scanned_modules="quorate")


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest, blocking_detector: BlockBuster) -> Iterator[None]:
    """In unit tests, a blocking call of ours on the event loop fails; `@pytest.mark.blocking` lets one be."""
    if not request.path.is_relative_to(UNIT) or request.node.get_closest_marker("blocking"):
        yield
        return
    blocking_detector.activate()
    try:
        yield
    finally:
        blocking_detector.deactivate()
