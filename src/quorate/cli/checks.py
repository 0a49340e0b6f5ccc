"""Is this machine ready, and what is to be done where it is not?"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from msgspec import Struct

from quorate.assembly import build_toolbox, load_gateway_plan, open_store
from quorate.cli.words import clean_line
from quorate.errors import InvalidFiles, MissingExtra, QuorateError
from quorate.models.plan import GatewayPlan
from quorate.models.readiness import find_lack
from quorate.models.routes import list_targets
from quorate.models.target import find_target
from quorate.runtime.fleet import find_bus, open_bus
from quorate.runtime.keeping import read_secrets
from quorate.settings import Settings, load_settings
from quorate.settings.check import KEYLESS_MODELS, check_key_strength
from quorate.state.backends.sqlite import open_sqlite_log

Status = Literal["ok", "warning", "fault", "skipped"]
LEAST_PYTHON = (3, 11)
LEAST_FREE_MB = 200
MOST_CHECKED_BYTES = 256 << 20
"""The size above which a database is not read through: that would take minutes."""
MOST_WAITING = 1000
"""How many notices wait where a worker tells them: while one runs there are a few."""
LOCK_WAIT_S = 1.0
EXTRAS: tuple[tuple[str, tuple[str, ...], Status, str], ...] = (
    ("cel", ("cel",), "fault", "playbooks need it"),
    ("ops", ("psutil", "dns", "cryptography"), "warning", "the operations tools report more with it"),
    ("pydantic", ("pydantic",), "ok", "only for pydantic models as arguments and answers"),
    ("bedrock", ("botocore",), "ok", "only to sign calls to Bedrock; with a Bedrock API key nothing is signed"),
    ("vertex", ("cryptography",), "ok", "only for Vertex AI with a key file"),
    ("redis", ("redis",), "ok", "only for limits and caches in Redis or Valkey"),
    ("guards", ("re2",), "ok", "only for guards of the kind `patterns`"),
    ("nats", ("nats", "nkeys"), "ok", "only for a bus over NATS between processes"),
    ("prices", ("genai_prices",), "ok", "only for prices from a public list"),
    ("tokens", ("rs_bpe",), "ok", "only to count tokens with OpenAI's vocabularies"),
    ("tokenizers", ("tokenizers",), "ok", "only to count tokens with a `tokenizer.json`"),
    ("litellm", ("litellm",), "ok", "only for `litellm:` models"),
)
"""Each extra: its modules, how bad it is without, and why."""
PROGRAMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("ping",), "reachability is measured with TCP connections instead"),
    (("traceroute", "tracepath"), "routes are measured as far as this user may"),
    (("ip",), "routes are read from the kernel's tables instead"),
    (("ss",), "listening ports are read from the kernel's tables instead"),
    (("systemctl",), "services cannot be listed"),
    (("journalctl",), "the journal cannot be read; log files can"),
    (("docker", "podman"), "containers cannot be listed"),
)
"""Programs that tools use, any of each row, and what happens without."""


class Check(Struct, frozen=True, kw_only=True):
    """What was looked at, how it stands, and what to do."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def run_checks(*, least_free_mb: int = LEAST_FREE_MB) -> list[Check]:
    """Look at everything; a fault in one place does not hide those in another."""
    found = [check_python(sys.version_info[:3]), *check_extras()]
    try:
        settings = load_settings()
    except InvalidFiles as error:
        found += [Check(name="settings", status="fault", detail=fault) for fault in error.faults]
        return found + [
            Check(name=name, status="skipped", detail="the settings have faults; mend them first")
            for name in ("database", "disk", "bus", "gateway", "model", "agents")
        ] + check_programs()  # fmt: skip
    found.append(Check(name="settings", status="ok", detail=f"the environment is {settings.environment}"))
    found += check_secrets(settings)
    found += [
        _guard("database", lambda: check_database(Path(settings.database))),
        _guard("disk", lambda: check_disk(Path(settings.database), least_free_mb=least_free_mb)),
        _guard("bus", lambda: check_bus(settings)),
    ]
    if settings.keeps_notices:
        found.append(_guard("notices", lambda: check_notices(settings)))
    gateway = check_gateway(settings)
    found += gateway
    if any(check.status == "fault" for check in gateway):
        found.append(Check(name="model", status="skipped", detail="the gateway file has faults; mend them first"))
    else:
        found.append(_guard("model", lambda: check_model(settings)))
    return [*found, *check_programs(), *check_agents(settings)]


def check_python(version: tuple[int, int, int]) -> Check:
    """Check the interpreter's version."""
    shown, least = ".".join(map(str, version)), ".".join(map(str, LEAST_PYTHON))
    if version[:2] < LEAST_PYTHON:
        advice = f"install Python {least} or newer"
        return Check(name="python", status="fault", detail=f"{shown} is older than {least}", advice=advice)
    return Check(name="python", status="ok", detail=f"{shown} at {sys.executable}")


def check_extras() -> Iterator[Check]:
    """Check which optional dependencies are installed."""
    for extra, modules, status, why in EXTRAS:
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        name = f"extra {extra}"
        if missing:
            detail, advice = f"without {', '.join(missing)}: {why}", f"pip install 'quorate[{extra}]'"
            yield Check(name=name, status=status, detail=detail, advice=advice)
        else:
            yield Check(name=name, status="ok", detail="installed")


def check_secrets(settings: Settings) -> list[Check]:
    """Check that secrets that are kept elsewhere can be read there; nothing of them is shown."""
    kept = {secret.place for secret in settings.list_kept_secrets()}
    if not kept:
        return []
    try:
        asyncio.run(read_secrets(settings))
    except InvalidFiles as error:
        return [Check(name="secrets", status="fault", detail=fault) for fault in error.faults]
    return [Check(name="secrets", status="ok", detail=f"{len(kept)} are where the settings say")]


def check_database(path: Path) -> Check:
    """Check that the log can be written: that it is ours, sound, and not held by another process."""
    if not path.exists():
        place = _find_existing(path)
        if not place.is_dir():
            advice = "set `database` in the settings to a file in a directory of yours"
            return Check(name="database", status="fault", detail=f"{str(place)!r} is no directory", advice=advice)
        with tempfile.TemporaryFile(dir=place):
            return Check(name="database", status="ok", detail=f"{path} will be made when it is first needed")
    with closing(sqlite3.connect(f"file:{_quote(path)}?mode=rw", uri=True, timeout=LOCK_WAIT_S)) as connection:
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        is_small = path.stat().st_size <= MOST_CHECKED_BYTES
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_small else "ok"
    if said != "ok":
        return Check(name="database", status="fault", detail=f"{path} is damaged: {clean_line(str(said))}",
                     advice="restore it from a backup")  # fmt: skip
    runs = asyncio.run(_count_runs(path))
    return Check(name="database", status="ok", detail=f"{path} is writable and sound; {runs}")


async def _count_runs(path: Path) -> str:
    async with open_sqlite_log(path, busy_timeout_s=LOCK_WAIT_S) as log:
        newest = await log.list_runs(limit=1)
    return f"the newest run is {newest[0].run}" if newest else "it has no runs yet"


def check_disk(path: Path, *, least_free_mb: int) -> Check:
    """Check that there is room for the log to grow."""
    place = _find_existing(path)
    free_mb = shutil.disk_usage(place).free // 1_000_000
    if free_mb < least_free_mb:
        detail = f"{free_mb} MB are free at {place}; {least_free_mb} are wanted"
        advice = "free some space, or set `database` to another disk"
        return Check(name="disk", status="fault", detail=detail, advice=advice)
    return Check(name="disk", status="ok", detail=f"{free_mb} MB are free at {place}")


def check_bus(settings: Settings) -> Check:
    """Check that the bus of the settings can be reached, lets us in, and is set as it must be."""
    if not settings.bus.url:
        return Check(name="bus", status="ok", detail="none: workers find runs by looking into the database")
    servers = ", ".join(find_bus(settings)[0])
    try:
        asyncio.run(_ask_bus(settings))
    except MissingExtra as error:
        return Check(name="bus", status="fault", detail=error.message)
    except QuorateError as error:
        detail = f"{error.message} Runs go on without it, and begin a little later."
        return Check(name="bus", status="fault", detail=detail, advice="mend it, or take `bus.url` out of the settings")
    return Check(name="bus", status="ok", detail=f"{servers} lets us in, is set as it must be, and has JetStream")


async def _ask_bus(settings: Settings) -> None:
    async with open_bus(settings) as bus:
        await bus.check_ready()


def check_notices(settings: Settings) -> Check:
    """Check that what others are to be told of does not wait for a worker that never comes."""
    if not settings.is_server and not Path(settings.database).exists():
        return Check(name="notices", status="ok", detail="nothing was recorded yet")
    waiting = asyncio.run(_count_notices(settings))
    if waiting <= MOST_WAITING:
        return Check(name="notices", status="ok", detail=f"{waiting} events wait to be told to the bus or to webhooks")
    detail = f"more than {MOST_WAITING} events wait to be told to the bus or to webhooks, and more come with each run"
    return Check(
        name="notices", status="warning", detail=detail, advice="keep a `quorate worker` running: it tells them"
    )


async def _count_notices(settings: Settings) -> int:
    async with open_store(settings) as store:
        return len(await store.outbox.pending(limit=MOST_WAITING + 1))


def check_gateway(settings: Settings) -> list[Check]:
    """Check that the gateway file holds together, with all its faults."""
    if not settings.gateway:
        return [Check(name="gateway", status="ok", detail="no file: models are asked by their own names")]
    try:
        load_gateway_plan(settings)
    except InvalidFiles as error:
        return [Check(name="gateway", status="fault", detail=fault) for fault in error.faults]
    return [Check(name="gateway", status="ok", detail=f"{settings.gateway}, no faults")]


def check_model(settings: Settings) -> Check:
    """Check that the model of the settings can be asked: that its provider has what it needs."""
    model = settings.model
    if model in KEYLESS_MODELS:
        return Check(name="model", status="ok", detail=f"{model}: agents follow their playbooks, without a key")
    plan = load_gateway_plan(settings)
    name = plan.aliases.get(model, model)
    members = next((list_targets(rule) for rule in plan.routes if rule.name == name), (name,))
    lacks = {member: _find_lack(settings, plan, member) for member in members}
    missing = [f"{member}: {lack}" for member, lack in lacks.items() if lack]
    if missing:
        # A route hides a member that cannot be asked.
        status: Status = "fault" if len(missing) == len(members) else "warning"
        advice = 'set what is missing, or `model = "playbook"`'
        return Check(name="model", status=status, detail="; ".join(missing), advice=advice)
    weak = check_key_strength(settings.openai.api_key, base_url=settings.openai.base_url)
    if weak and any(member.startswith("openai:") for member in members):
        return Check(name="model", status="warning", detail=weak, advice="set `OPENAI_API_KEY` to the real key")
    return Check(name="model", status="ok", detail=f"{model} has what it needs; it was not asked anything")


def _find_lack(settings: Settings, plan: GatewayPlan, name: str) -> str:
    try:
        target = find_target(name, credentials=settings.find_credential, base_urls={}, table=plan.build_table())
    except QuorateError as error:
        return error.message
    return find_lack(target, settings.find_credential, now=time.time(), pool=plan.find_pool(target.provider.name))


def check_programs() -> list[Check]:
    """Check which programs are there for tools to use."""
    found: list[Check] = []
    for names, without in PROGRAMS:
        where = next((place for name in names if (place := shutil.which(name))), None)
        title = f"program {names[0]}"
        if where:
            found.append(Check(name=title, status="ok", detail=where))
        else:
            detail, advice = f"not found: {without}", f"install {' or '.join(names)}"
            found.append(Check(name=title, status="warning", detail=detail, advice=advice))
    return found


def check_agents(settings: Settings) -> list[Check]:
    """Check that all agent files hold together."""
    from quorate.catalog.review import review_agents  # it loads what evaluates conditions and answers

    places = [Path(directory) for directory in settings.agents.directories]
    try:
        review = review_agents(places, tools=build_toolbox(settings), may_replace=settings.agents.may_replace)
    except QuorateError as error:
        return [Check(name="agents", status="fault", detail=error.message)]
    if review.faults:
        return [Check(name="agents", status="fault", detail=str(fault)) for fault in review.faults]
    return [Check(name="agents", status="ok", detail=f"{len(review.agents)} agents, no faults")]


def _guard(name: str, check: Callable[[], Check]) -> Check:
    """Make a check, and turn the ways it can fail into what it found."""
    try:
        return check()
    except QuorateError as error:
        return Check(name=name, status="fault", detail=error.message)
    except sqlite3.Error as error:
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        advice = "end the process that holds it" if busy else "set `database` to another file, or mend this one"
        detail = "it is locked: another process holds it" if busy else f"it cannot be used: {error}"
        return Check(name=name, status="fault", detail=detail, advice=advice)
    except OSError as error:
        advice = "set `database` in the settings to a file in a directory that this user may write to"
        return Check(name=name, status="fault", detail=f"{error.filename}: {error.strerror}", advice=advice)


def _find_existing(path: Path) -> Path:
    """Find the nearest place above a file that is there."""
    return next((place for place in path.parents if place.exists()), Path(os.sep))


def _quote(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
