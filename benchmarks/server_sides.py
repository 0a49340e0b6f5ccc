"""How is each server started that is measured, and how is it asked?"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import NotInstalled
from benchmarks.record_peers import install_peer, read_pins
from benchmarks.run import ROOT, build_env
from benchmarks.server_load import Found, Order

PINS = Path(__file__).with_name("server_peers.txt")
SIDES = {
    "relay": "a bare relay: uvicorn, aiohttp",
    "relay_uvloop": "… on uvloop",
    "quorate": "**Quorate**",
    "litellm": "LiteLLM proxy",
}
KEY = "sk-benchmark"
SECRET = "0123456789abcdef" * 4
"""What keys are hashed with, as servers of one database have to agree on it."""
WAIT_S = 120.0
LOAD_S = 180.0
GATEWAY = """
[[route]]
name = "chat"
models = ["openai:gpt-5.2"]

[[limit]]
name = "tenant"
scope = "tenant"
requests = 1_000_000_000
tokens = 1_000_000_000_000
per_s = 60

[[budget]]
name = "tenant"
scope = "tenant"
period = "day"
usd = 1_000_000_000
"""
SETTINGS = """
gateway = "gateway.toml"
database = {database}
"""
LITELLM = """
model_list:
  - model_name: chat
    litellm_params: {{model: openai/gpt-5.2, api_base: {upstream}/v1, api_key: test}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


class NotStarted(Exception):
    """A server did not begin to answer."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    port: int
    pid: int
    path: str
    key: str = ""
    ready_s: float = 0.0
    """How long it took from its start until it answered."""


def find_cores() -> tuple[set[int], set[int]]:
    """Find a core for who is measured, and one for all others; the same ones where there is one only."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:2] or cores)


def find_port() -> int:
    """Find a port that is free."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@contextmanager
def start(
    argv: Sequence[str], *, cores: set[int], cwd: Path = ROOT, log: Path | None = None, **env: str
) -> Generator[subprocess.Popen[str]]:
    """Run a program on some cores while a block lasts."""
    errors = subprocess.DEVNULL if log is None else log.open("w", encoding="utf-8")
    with subprocess.Popen(
        [*argv], cwd=cwd, env=build_env(**env), stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        os.sched_setaffinity(process.pid, cores)
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def open_upstream(*, pace_s: float) -> Generator[str]:
    """Start the provider, and give its address."""
    argv = [sys.executable, "-m", "benchmarks.gateway_server", str(pace_s)]
    with start(argv, cores=find_cores()[1]) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def wait_until_ready(process: subprocess.Popen[str], port: int, path: str, *, began: float, log: Path) -> float:
    """Wait until a server answers, and return how long it took.

    Raises:
        NotStarted: It ended, or took too long.
    """
    while time.perf_counter() - began < WAIT_S and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return time.perf_counter() - began
        except OSError:
            time.sleep(0.02)  # no test: there is nothing else to wait for
        finally:
            connection.close()
    said = log.read_text(encoding="utf-8").strip().splitlines() or ["no output"]
    raise NotStarted(f"it does not answer: {said[-1][:200]}")


@contextmanager
def open_relay(upstream: str, loop: str) -> Generator[Running]:
    """Start the bare relay."""
    with TemporaryDirectory() as folder:
        port, log, began = find_port(), Path(folder) / "log", time.perf_counter()
        argv = [sys.executable, "-m", "benchmarks.server_relay", str(port), upstream, loop]
        with start(argv, cores=find_cores()[0], log=log) as process:
            # It hands on whatever it is asked, so that the first answer is the provider's.
            ready_s = wait_until_ready(process, port, "/v1/models", began=began, log=log)
            yield Running(port=port, pid=process.pid, path="/v1/chat/completions", ready_s=ready_s)


@contextmanager
def open_quorate(upstream: str, *, database: str = "quorate.db", role: str = "operator") -> Generator[Running]:
    """Start `quorate serve` as anybody would: keys, quotas, limits, a budget, the book and metrics in one database."""
    program = [str(Path(sys.executable).with_name("quorate"))]
    env = {
        "OPENAI_API_KEY": "test",
        "OPENAI_BASE_URL": f"{upstream}/v1",
        "QUORATE_SERVER__SECRET": "0123456789abcdef" * 4,
    }
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "gateway.toml").write_text(GATEWAY, encoding="utf-8")
        (place / "quorate.toml").write_text(SETTINGS.format(database=json.dumps(database)), encoding="utf-8")
        key = run([*program, "keys", "create", "--role", role], cwd=place, **env).split()[0]
        run([*program, "quotas", "set", "requests=1000000000/minute"], cwd=place, **env)
        port, log, began = find_port(), place / "log", time.perf_counter()
        argv = [*program, "serve", "--port", str(port), "--quiet"]
        with start(argv, cores=find_cores()[0], cwd=place, log=log, **env) as process:
            ready_s = wait_until_ready(process, port, "/readyz", began=began, log=log)
            yield Running(port=port, pid=process.pid, path="/openai/v1/chat/completions", key=key, ready_s=ready_s)


@contextmanager
def open_litellm(upstream: str) -> Generator[Running]:
    """Start LiteLLM's proxy with a key and one model, and nothing else."""
    python = install_peer("server_litellm", read_pins(PINS)["litellm"])
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "config.yaml").write_text(LITELLM.format(upstream=upstream, key=KEY), encoding="utf-8")
        port, log, began = find_port(), place / "log", time.perf_counter()
        program = str(Path(python).with_name("litellm"))
        argv = [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        with start(argv, cores=find_cores()[0], cwd=place, log=log, **env) as process:
            ready_s = wait_until_ready(process, port, "/health/readiness", began=began, log=log)
            yield Running(port=port, pid=process.pid, path="/v1/chat/completions", key=KEY, ready_s=ready_s)


@contextmanager
def open_side(side: str, upstream: str) -> Generator[Running]:
    """Start the server of a side.

    Raises:
        NotStarted: It did not begin to answer.
        NotInstalled: It cannot be installed.
    """
    if side == "quorate":
        opened = open_quorate(upstream)
    elif side == "litellm":
        opened = open_litellm(upstream)
    else:
        opened = open_relay(upstream, "uvloop" if side == "relay_uvloop" else "asyncio")
    with opened as running:
        yield running


def run(argv: Sequence[str], *, cwd: Path, **env: str) -> str:
    """Run a program to its end, and return what it wrote.

    Raises:
        NotStarted: It failed.
    """
    done = subprocess.run(argv, cwd=cwd, env=build_env(**env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotStarted(f"{' '.join(argv[1:3])}: {done.stderr.strip()[-300:]}")
    return done.stdout


def load(order: Order) -> Found:
    """Let another process do what is ordered.

    Raises:
        NotStarted: It failed, or an answer was not what it was to be.
    """
    argv = [sys.executable, "-m", "benchmarks.server_load", json.dumps(asdict(order))]
    with subprocess.Popen(
        argv, cwd=ROOT, env=build_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.sched_setaffinity(process.pid, find_cores()[1])
        try:
            said, errors = process.communicate(timeout=LOAD_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise NotStarted(f"no end within {LOAD_S:g} s") from None
    if process.returncode:
        raise NotStarted((errors.strip().splitlines() or ["no output"])[-1][:300])
    return Found(**json.loads(said.splitlines()[-1]))


def read_rss(pid: int) -> float:
    """Read how many MB a process holds; Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{pid}/status has no VmRSS")


__all__ = ["SIDES", "NotInstalled", "NotStarted", "Running", "load", "open_quorate", "open_side", "open_upstream"]
