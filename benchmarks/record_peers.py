"""Where does the Python environment of each engine of durable steps come from?"""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.peers import NotInstalled, install

PINS = Path(__file__).with_name("record_peers.txt")


def read_pins(path: Path = PINS) -> dict[str, list[str]]:
    """Read which distributions stand for each side, the one that its version is told by first."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): pins.split() for name, pins in pairs}


def install_peer(side: str, pins: list[str]) -> str:
    """Make the environment of an engine, unless it is there, and return its interpreter.

    Raises:
        NotInstalled: The installer failed; the message is its last line.
    """
    first, *others = pins
    python = install(f"record_{side}", first)
    ready = Path(python).parents[1] / ".ready-all"
    if not others or ready.exists():
        return python
    # `uv` makes environments without pip.
    subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=False)
    step = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", first, *others]
    done = subprocess.run(step, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise NotInstalled(f"pip install {' '.join(pins)}: {said[-1]}")
    ready.touch()
    return python
