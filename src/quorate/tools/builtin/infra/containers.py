"""Which containers are there, and are they well?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, cast

import msgspec
from msgspec import Struct

from quorate.tools.builtin.infra.ask import Run, ask

ENGINES = ("docker", "podman")
MAX_OUTPUT_BYTES = 4 * 1024 * 1024
_EXIT = re.compile(r"Exited \((\d+)\)")


class Container(Struct, frozen=True, kw_only=True):
    """A container as its engine lists it."""

    engine: str
    id: str
    name: str
    image: str
    state: str
    """`running`, `exited`, `restarting`, `paused`, `created` or `dead`."""
    description: str
    """The engine's own words, such as `Up 3 hours (healthy)`."""
    ports: str = ""
    is_unhealthy: bool = False
    exit_code: int | None = None


class Engine(Struct, frozen=True, kw_only=True):
    """Whether an engine answered."""

    name: str
    status: Literal["ok", "unavailable"]
    reason: str = ""
    containers: tuple[Container, ...] = ()


class ContainerReport(Struct, frozen=True, kw_only=True):
    """All containers of all engines; `unavailable` when no engine answered, which is not the same as none running."""

    status: Literal["ok", "unavailable"]
    reason: str = ""
    engines: tuple[Engine, ...] = ()
    total: int = 0
    running: int = 0
    troubled: tuple[str, ...] = ()
    """The names of those that are unhealthy, restarting, dead, or ended with an error."""


async def read_containers(run: Run) -> ContainerReport:
    """Ask each engine for its containers."""
    return summarize_engines([await _ask(run, name) for name in ENGINES])


def summarize_engines(engines: Iterable[Engine]) -> ContainerReport:
    """Join what the engines said."""
    found = tuple(engines)
    if all(engine.status == "unavailable" for engine in found):
        reason = "; ".join(f"{engine.name}: {engine.reason}" for engine in found)
        return ContainerReport(status="unavailable", reason=reason, engines=found)
    containers = [container for engine in found for container in engine.containers]
    return ContainerReport(
        status="ok",
        engines=found,
        total=len(containers),
        running=sum(container.state == "running" for container in containers),
        troubled=tuple(container.name for container in containers if has_trouble(container)),
    )


def has_trouble(container: Container) -> bool:
    """Tell whether somebody should look at a container."""
    return container.is_unhealthy or container.state in {"restarting", "dead"} or bool(container.exit_code)


def parse_containers(output: str, *, engine: str) -> tuple[Container, ...]:
    """Read what `docker ps` or `podman ps` prints with the format `{{json .}}`: an object in each line."""
    return tuple(_build(fields, engine) for fields in _decode(output))


async def _ask(run: Run, name: str) -> Engine:
    argv = (name, "ps", "--all", "--format", "{{json .}}")
    answer = await ask(run, argv, timeout_s=10, max_output_bytes=MAX_OUTPUT_BYTES)
    if answer.reason:
        return Engine(name=name, status="unavailable", reason=answer.reason)
    return Engine(name=name, status="ok", containers=parse_containers(answer.output, engine=name))


def _decode(output: str) -> Iterator[dict[str, object]]:
    decode = msgspec.json.Decoder(dict[str, object]).decode
    for line in output.splitlines():
        try:
            yield decode(line)
        except msgspec.DecodeError:
            continue  # the last line may be cut at the bound


def _build(fields: dict[str, object], engine: str) -> Container:
    description = _text(fields.get("Status"))
    exited = _EXIT.search(description)
    code = fields.get("ExitCode")
    state = _text(fields.get("State")).lower() or ("running" if description.startswith("Up") else "exited")
    return Container(
        engine=engine,
        id=(_text(fields.get("ID")) or _text(fields.get("Id")))[:12],
        name=_text(fields.get("Names")),
        image=_text(fields.get("Image")),
        state=state,
        description=description,
        ports=_text(fields.get("Ports"))[:500],
        is_unhealthy="(unhealthy)" in description,
        exit_code=int(exited[1]) if exited else code if isinstance(code, int) and state == "exited" else None,
    )


def _text(value: object) -> str:
    # One engine writes a list where the other writes text.
    if isinstance(value, list):
        items = cast("list[object]", value)  # whatever it holds becomes text
        return ",".join(item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in items)
    return value if isinstance(value, str) else ""
