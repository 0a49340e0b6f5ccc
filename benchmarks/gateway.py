"""What does a model call cost through the gateway, beside bare clients and (`--peers`) other SDKs?

    python benchmarks/gateway.py [--rounds 5] [--only SIDE …] [--peers] [--size 1] [--json] [--save]

Each side is measured once in each round, in a new process and in an environment of its own, against one server on
loopback, the sides taking turns. Shown are microseconds of CPU unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file is run as a script, from whatever folder.
sys.path[0] = str(ROOT)

from benchmarks.peers import OURS, NotInstalled  # noqa: E402
from benchmarks.record_figures import BY_NAME as RECORD  # noqa: E402
from benchmarks.record_peers import install_peer, read_pins  # noqa: E402
from benchmarks.report import show_number  # noqa: E402
from benchmarks.run import PAGE, build_env, describe, log, read_version  # noqa: E402
from benchmarks.workloads import BY_NAME as OTHERS  # noqa: E402

PINS = Path(__file__).with_name("gateway_peers.txt")
TIMEOUT_S = 300
BEGIN, END = "<!-- gateway: begin -->", "<!-- gateway: end -->"
SIDES = {
    "raw": "a socket, HTTP by hand",
    "bare_aiohttp": "aiohttp",
    "pyreqwest": "pyreqwest",
    "httpx2": "httpx2",
    "quorate_model": "**Quorate**: a model (retry, breaker)",
    "quorate_stack": "**Quorate**: the whole stack",
    "anthropic_sdk": "anthropic SDK",
    "openai_sdk": "openai SDK",
    "pydantic_ai": "pydantic-ai, direct",
    "litellm_sdk": "LiteLLM SDK",
}
FIGURES = {
    "call_1": "a call, one at a time",
    "call_100": "a call, 100 in flight",
    "chunk": "a streamed piece",
    "hit": "a cache hit (wall)",
    "late_p50": "20 ms upstream, 100 in flight: p50, ms (wall)",
    "late_p99": "… p99, ms (wall)",
    "ready_ms": "until the first answers, ms",
    "modules": "modules",
}
TARGETS = (
    ("quorate_stack", "call_1", "bare_aiohttp", 2.0),
    ("quorate_stack", "call_100", "bare_aiohttp", 2.0),
    *((("quorate_stack", name, "openai_sdk", 1 / 5)) for name in ("call_1", "call_100")),
    *((("quorate_stack", name, "pydantic_ai", 1 / 7)) for name in ("call_1", "call_100")),
    *((("quorate_stack", name, "litellm_sdk", 1 / 10)) for name in ("call_1", "call_100")),
    ("quorate_stack", "chunk", "openai_sdk", 1 / 3),
    ("quorate_stack", "chunk", "", 30.0),
    ("quorate_stack", "hit", "", 50.0),
    ("quorate_stack", "late_p99", "", 35.0),
)
"""Whose figure is to be at most so many times whose; or at most so many, where there is no other."""


@dataclass
class Measured:
    """All that was measured, and where."""

    facts: dict[str, str]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By side and figure, one for each round."""
    failed: dict[str, str] = field(default_factory=dict)

    def get(self, side: str, figure: str) -> float | None:
        """Return the median of the rounds."""
        found = self.values.get(side, {}).get(figure)
        return statistics.median(found) if found else None

    def show(self, side: str, figure: str) -> str:
        found = self.values.get(side, {}).get(figure)
        if not found:
            return ""
        middle, low, high = (show_number(pick(found)) for pick in (statistics.median, min, max))
        return middle if low == high else f"{middle} ({low}–{high})"


@contextmanager
def open_server() -> Generator[str]:
    """Start the server in a process of its own, and give its address."""
    argv = [sys.executable, "-m", "benchmarks.gateway_server"]
    with subprocess.Popen(argv, cwd=ROOT, env=build_env(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def measure_one(python: str, side: str, url: str, size: float) -> tuple[dict[str, float], str]:
    argv = [python, "-m", "benchmarks.gateway_program", side, url, str(size)]
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=build_env(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        return json.loads(done.stdout.splitlines()[-1])["values"], ""
    except subprocess.TimeoutExpired:
        return {}, f"no end within {TIMEOUT_S} s"
    except (IndexError, ValueError):
        said = done.stderr.strip().splitlines() or ["no output"]
        return {}, f"the process ended with {done.returncode}: {said[-1]}"


def measure_all(measured: Measured, sides: dict[str, str], given: argparse.Namespace) -> None:
    """Fill `measured`, so that whoever interrupts this has what there is."""
    with open_server() as url:
        for number in range(given.rounds):
            for side, python in sides.items():
                log(f"round {number + 1} of {given.rounds}: {side}")
                values, fault = measure_one(python, side, url, given.size)
                for name, value in values.items():
                    measured.values.setdefault(side, {}).setdefault(name, []).append(value)
                if fault:
                    measured.failed[side] = fault
                    log(f"    {fault}")


def find_sides(measured: Measured, given: argparse.Namespace) -> dict[str, str]:
    """Find the interpreter of each side; one that cannot be installed has failed."""
    pins = read_pins(PINS)
    wanted = [side for side in SIDES if side in given.only or (not given.only and (given.peers or side not in pins))]
    pythons: dict[str, str] = {}
    for side in wanted:
        try:
            pythons[side] = install_peer(side, pins[side]) if side in pins else sys.executable
        except NotInstalled as error:
            measured.failed[side] = str(error)
    return pythons


def judge(measured: Measured) -> list[str]:
    """Name what failed, what was missed, and who is quicker."""
    lines = [f"FAILED {side}: {reason}" for side, reason in measured.failed.items()]
    for side, figure, other, most in TARGETS:
        value, theirs = measured.get(side, figure), measured.get(other, figure) if other else 1.0
        if value is not None and theirs is not None and value > most * theirs:
            bound = f"{show_number(most)} × {SIDES[other]} ({show_number(theirs)})" if other else show_number(most)
            lines.append(f"MISSED {figure} of {side}: {show_number(value)}, target at most {bound}")
    for figure in ("call_1", "call_100", "chunk", "late_p99"):
        ours = measured.get("quorate_stack", figure)
        for peer in read_pins(PINS):
            theirs = measured.get(peer, figure)
            if ours is not None and theirs is not None and theirs < ours:
                lines.append(f"LOST {figure} to {SIDES[peer]}: {show_number(ours)} against {show_number(theirs)}")
    return lines or ["Of what was measured, every target was met and nothing was lost to another."]


def render_page(measured: Measured) -> str:
    """For the documentation, and for a terminal."""
    shown = [side for side in SIDES if side in measured.values]
    lines = [BEGIN, "", *[f"- {name}: {text}" for name, text in measured.facts.items()], ""]
    lines += [f"| | {' | '.join(FIGURES.values())} |", f"|---|{'---:|' * len(FIGURES)}"]
    lines += [f"| {SIDES[side]} | {' | '.join(measured.show(side, name) for name in FIGURES)} |" for side in shown]
    return "\n".join([*lines, "", *[f"- {line}" for line in judge(measured)], "", END])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], metavar="SIDE", help=f"of {', '.join(SIDES)}")
    parser.add_argument("--peers", action="store_true", help="other clients too")
    parser.add_argument("--size", type=float, default=1.0, help="less than 1 measures less: for trying it out")
    parser.add_argument("--json", action="store_true", help="print the raw results")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results and the table in docs")
    given, _ = parser.parse_known_args()  # `make bench` gives its arguments to all scripts
    # The names of the other scripts are no mistake here.
    if unknown := sorted(set(given.only) - {*SIDES, *RECORD, *OTHERS, *OURS}):
        parser.error(f"no side is called {unknown}; there are {[*SIDES]}")
    if given.save and (given.only or given.size != 1):
        parser.error("what is saved is a whole run: leave out `--only` and `--size`")
    return given


def save(measured: Measured) -> None:
    """Keep the raw results, and put the table into the page."""
    path = ROOT / "benchmarks" / "results" / f"{measured.facts['date'][:10]}-gateway.json"
    path.write_text(json.dumps(asdict(measured), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{render_page(measured)}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> None:
    given = parse()
    names = [f"{name} {version(name)}" for name in ("msgspec", "aiohttp")]
    pins = [pin for some in read_pins(PINS).values() for pin in some] if given.peers else []
    facts = {
        **describe(),
        "command": f"python benchmarks/gateway.py {' '.join(sys.argv[1:])}".strip(),
        "versions": ", ".join([f"quorate {read_version()}", *names, *pins]),
        "spread": f"rounds: {given.rounds}; shown is the median (lowest–highest)",
    }
    measured = Measured(facts)
    try:
        measure_all(measured, find_sides(measured, given), given)
    except KeyboardInterrupt:
        log("interrupted: this is what there is")
    print(json.dumps(asdict(measured)) if given.json else render_page(measured))
    if given.save:
        save(measured)


if __name__ == "__main__":
    main()
