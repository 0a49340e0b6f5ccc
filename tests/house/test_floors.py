"""Does every import go to its own room or to a lower floor?"""

import pytest
from tests.house.source import SRC, imports, sources

WORKSHOPS = (
    "models",
    "tools",
    "context",
    "state",
    "bus",
    "retrieval",
    "learning",
    "telemetry",
    "security",
    "hooks",
)
FLOORS: dict[int, dict[str, tuple[str, ...]]] = {
    0: {"ground": ("errors", "clock", "ids", "addresses")},
    1: {"language": ("messages", "specs", "events", "ports", "codec", "conditions")},
    2: {room: (room,) for room in WORKSHOPS},
    3: {"agent": ("agent",)},
    4: {"council": ("council",), "catalog": ("catalog",)},
    5: {"orchestration": ("orchestration",)},
    6: {"assembly": ("settings", "runtime", "assembly")},
    7: {
        "server": ("server",),
        "worker": ("worker",),
        "scheduler": ("scheduler",),
        "testing": ("testing",),
        "functions": ("functions",),
    },
    8: {"cli": ("cli", "__main__")},
}
PLACE = {top: (floor, room) for floor, rooms in FLOORS.items() for room, tops in rooms.items() for top in tops}
LANGUAGE = FLOORS[1]["language"]
DRAWING = "; ".join(f"{floor}: {' '.join(PLACED)}" for floor, rooms in FLOORS.items() for PLACED in [list(rooms)])


def find_top(module: str) -> str | None:
    """The top-level module inside the package that a dotted name belongs to; `None` for the façade itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def find_fault(importer: str, imported: str) -> str | None:
    """Say what is wrong with one top-level module importing another, or nothing."""
    if imported not in PLACE:
        return f"`quorate.{imported}` is not a room of the house; rooms by floor: {DRAWING}"
    (floor, room), (to_floor, to_room) = PLACE[importer], PLACE[imported]
    if room == to_room == "language" and LANGUAGE.index(imported) > LANGUAGE.index(importer):
        return f"`{importer}` comes before `{imported}`: the order is {' < '.join(LANGUAGE)}"
    if room == to_room:
        return None
    if to_floor > floor:
        return f"up from floor {floor} (`{room}`) to floor {to_floor} (`{to_room}`)"
    if to_floor == floor:
        return f"to a neighbour on floor {floor}: `{room}` may not know `{to_room}`"
    return None


def test_every_top_level_module_has_a_floor() -> None:
    """A new file or folder directly below `src/quorate` must be one of the rooms of the house."""
    tops = {path.stem for path in SRC.glob("*.py")} | {
        path.name for path in SRC.iterdir() if path.is_dir() and any(path.rglob("*.py"))
    }
    unknown = sorted(tops - set(PLACE) - {"__init__"})
    assert not unknown, (
        f"no such room: {unknown}; place it by the five questions of the design; rooms by floor: {DRAWING}"
    )


def test_imports_go_down_or_stay_in_their_room() -> None:
    """Function-level and TYPE_CHECKING imports count; the façade names everything, nothing names it."""
    faults: list[str] = []
    for source in sources():
        importer = find_top(source.module)
        if importer is None or importer not in PLACE:
            continue
        for line, module in imports(source):
            if module.split(".")[0] != "quorate":
                continue
            imported = find_top(module)
            fault = find_fault(importer, imported) if imported else "imports the façade; name the room instead"
            if fault:
                faults.append(f"src/quorate/{source.name}:{line}: `{module}`: {fault}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("importer", "imported", "said"),
    [
        ("tools", "errors", None),
        ("models", "tools", "neighbour"),
        ("errors", "messages", "up from floor 0"),
        ("agent", "assembly", "up from floor 3"),
        ("assembly", "settings", None),
        ("specs", "messages", None),
        ("messages", "specs", "the order is"),
        ("server", "testing", "neighbour"),
        ("server", "cli", "up from floor 7"),
        ("cli", "server", None),
        ("cli", "utils", "not a room"),
    ],
)
def test_the_rule_itself(importer: str, imported: str, said: str | None) -> None:
    """The measure is measured: each kind of fault is found, and a good import is let through."""
    fault = find_fault(importer, imported)
    assert fault is None if said is None else fault is not None and said in fault
