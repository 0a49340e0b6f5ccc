"""What is wrong with the units of systemd?"""

from __future__ import annotations

import re

from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.workspace import Workspace

SUFFIXES = (".service", ".timer", ".socket", ".mount", ".target", ".path")
_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|secret|token|api_?key)\w*=[^\s$]")
_HARDENING = ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp")
_SECTIONS = frozenset(
    (
        *("Unit", "Install", "Service", "Timer", "Socket", "Mount", "Automount"),
        *("Swap", "Path", "Slice", "Scope", "Target"),
    )
)

Settings = dict[str, list[tuple[str, int]]]
"""What `Section.Key` is set to, each time with its line."""


def check_systemd_units(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every unit file.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("units", "services", "timers", "sockets")
    names: set[str] = set()
    timers: list[tuple[Source, str, int]] = []
    for source in read_sources(workspace, path, board, wanted=lambda name: name.endswith(SUFFIXES)):
        name = source.file.rpartition("/")[2]
        names.add(name)
        board.item(name)
        board.count("units")
        settings = read_unit(source, board)
        if name.endswith(".service"):
            board.count("services")
            _check_service(source, settings, board)
        elif name.endswith(".timer"):
            board.count("timers")
            _check_timer(source, settings, board)
            (unit, line) = _last(settings, "Timer.Unit") or (name.removesuffix(".timer") + ".service", 1)
            timers.append((source, unit, line))
        elif name.endswith(".socket"):
            board.count("sockets")
        if "Unit.Description" not in settings:
            board.find(source, 1, "no-description", "low", "nothing says what this unit is for")
    for source, unit, line in timers:
        if unit not in names and board.files > 1 and "@" not in unit:
            board.find(source, line, "unknown-unit", "medium", f"the timer starts `{unit}`, which is not beside it")
    return board.build(path, most=most)


def read_unit(source: Source, board: Board) -> Settings:
    """Read the settings of a unit, with continued lines joined; what is no setting is a finding."""
    settings: Settings = {}
    section, waiting, began = "", "", 0
    for number, line in enumerate(source.lines, 1):
        bare = line.strip()
        if not waiting and (not bare or bare[0] in "#;"):
            continue
        if not waiting and bare.startswith("[") and bare.endswith("]"):
            section = bare[1:-1]
            if section not in _SECTIONS and not section.startswith("X-"):
                board.find(source, number, "unknown-section", "medium", f"systemd knows no section `{section}`")
            continue
        began = began or number
        waiting = f"{waiting} {bare.removesuffix(chr(92))}".strip()[:10_000]
        if bare.endswith("\\"):
            continue
        key, equals, value = waiting.partition("=")
        if not equals or not section:
            board.find(source, began, "no-setting", "medium", "this is neither a section nor a setting")
        else:
            settings.setdefault(f"{section}.{key.strip()}", []).append((value.strip(), began))
        waiting, began = "", 0
    return settings


def _last(settings: Settings, key: str) -> tuple[str, int] | None:
    return settings[key][-1] if key in settings else None


def _check_service(source: Source, settings: Settings, board: Board) -> None:
    commands = settings.get("Service.ExecStart", [])
    kind = (_last(settings, "Service.Type") or ("simple", 1))[0]
    is_once = kind == "oneshot"
    if not any(value for value, _ in commands) and not is_once:
        board.find(source, 1, "no-command", "high", "there is no `ExecStart`")
    for value, line in commands:
        program = value.lstrip("-@:+!").split(" ")[0]
        if program and not program.startswith(("/", "%", "$", '"/')):
            board.find(source, line, "relative-command", "medium", f"`{program}` is looked for in a fixed path alone")
        if re.search(r"\s(?:\||>|>>|&&)\s", value) and not re.search(r"\b(?:ba|z|da)?sh\s+-\w*c\b", value):
            board.find(source, line, "no-shell-here", "high", "no shell reads this: `|`, `>` and `&&` are mere words")
    if len([value for value, _ in commands if value]) > 1 and not is_once:
        board.find(
            source, commands[1][1], "several-commands", "high", "only `Type=oneshot` may have several `ExecStart`"
        )
    if kind == "forking" and "Service.PIDFile" not in settings:
        board.find(
            source, 1, "no-pid-file", "low", "without `PIDFile` the main process of a forking service is guessed"
        )
    restart = (_last(settings, "Service.Restart") or ("no", 1))[0]
    if restart == "no" and not is_once:
        board.find(source, 1, "no-restart", "medium", "it stays down when it fails; set `Restart=on-failure`")
    interval = _last(settings, "Unit.StartLimitIntervalSec")
    if restart == "always" and interval is not None and interval[0] == "0":
        board.find(source, interval[1], "endless-restart", "medium", "nothing bounds how often it is started again")
    _check_rights(source, settings, board)
    for value, line in settings.get("Service.Environment", []):
        if _SECRET_NAME.search(value):
            message = "a secret in the unit is shown by `systemctl show`; use `LoadCredential=` or `EnvironmentFile=`"
            board.note(source.file, line, "secret-in-unit", "high", message, evidence="Environment=***")
    wants = " ".join(value for key in ("Unit.Wants", "Unit.Requires") for value, _ in settings.get(key, []))
    after = " ".join(value for value, _ in settings.get("Unit.After", []))
    for unit in wants.split():
        if unit not in after.split():
            message = f"it wants `{unit}` and does not wait for it; add `After={unit}`"
            board.find(
                source,
                settings.get("Unit.Wants", settings.get("Unit.Requires", [("", 1)]))[0][1],
                "no-order",
                "low",
                message,
            )
    if "Install.WantedBy" not in settings and "Install.RequiredBy" not in settings and not is_once:
        board.find(source, 1, "not-installable", "low", "`systemctl enable` does nothing without `WantedBy=`")


def _check_rights(source: Source, settings: Settings, board: Board) -> None:
    user = _last(settings, "Service.User")
    is_dynamic = (_last(settings, "Service.DynamicUser") or ("no", 1))[0] in ("yes", "true", "1")
    if not is_dynamic and (user is None or user[0] in ("root", "0")):
        board.find(
            source,
            user[1] if user else 1,
            "runs-as-root",
            "medium",
            "it runs as root; set `User=` or `DynamicUser=yes`",
        )
    missing = [key for key in _HARDENING if f"Service.{key}" not in settings]
    if len(missing) == len(_HARDENING):
        board.find(source, 1, "no-hardening", "low", f"nothing keeps it apart from the machine: {', '.join(missing)}")
    if "Service.MemoryMax" not in settings and "Service.MemoryHigh" not in settings:
        board.find(source, 1, "no-memory-limit", "low", "nothing bounds its memory; set `MemoryMax=`")


def _check_timer(source: Source, settings: Settings, board: Board) -> None:
    triggers = ("OnCalendar", "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec")
    if not any(f"Timer.{key}" in settings for key in triggers):
        board.find(source, 1, "no-trigger", "high", "nothing says when it fires")
    if "Timer.OnCalendar" in settings and "Timer.Persistent" not in settings:
        board.find(source, 1, "not-persistent", "low", "what is missed while the machine is off is never made up for")
    if "Install.WantedBy" not in settings:
        board.find(
            source, 1, "not-installable", "medium", "`systemctl enable` does nothing without `WantedBy=timers.target`"
        )
