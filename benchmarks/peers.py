"""Where does each framework's own Python environment come from?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = ("floor", "quorate")


class NotInstalled(Exception):
    """A framework's environment could not be made."""


def read_pins() -> dict[str, str]:
    """Read which distribution stands for each side, such as `{"agno": "agno==3.1.10"}`."""
    lines = (HERE / "peers.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): pin.strip() for name, pin in pairs}


def find_cache() -> Path:
    """Find where the environments are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "quorate-benchmarks"


def install(side: str, pin: str) -> str:
    """Make the environment of a side, unless it is there, and return its interpreter.

    Raises:
        NotInstalled: The installer failed; the message is its last line.
    """
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    home = find_cache() / f"{side}-{pin.rpartition('=')[2]}-{version}"
    python, ready = home / "bin" / "python", home / ".ready"
    if ready.exists():
        return str(python)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), pin],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [str(python), "-m", "pip", "install", "--quiet", pin],
        ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
            raise NotInstalled(f"{' '.join(step[1:3])} {pin}: {said[-1]}")
    ready.touch()
    return str(python)
