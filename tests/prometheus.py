"""A real Prometheus for tests: where its programs are found, and a server of it on loopback.

Its programs are those on the `PATH`, or those of Debian's package `prometheus`, which is fetched with the ordinary
package client and unpacked into a cache folder, without being installed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")
FETCH_S = 120.0
START_S = 60.0
AWAY = ("Could not", "Failed to fetch", "Temporary failure", "Unable to locate", "Can't select", "Unable to fetch")
"""How the package client says that there is nothing to be had."""
LISTENS = re.compile(r"Listening on.*address=(127\.0\.0\.1:\d+)")


def find_programs() -> Path:
    """The folder with `prometheus` and `promtool`; the test is skipped where they cannot be fetched."""
    known = shutil.which("promtool")
    if known is not None and shutil.which("prometheus") is not None:
        return Path(known).parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quorate-tests"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        programs = cache / "prometheus" / "usr" / "bin"
        if not all((programs / name).is_file() for name in PROGRAMS):
            _fetch(cache / "prometheus")
    return programs


def _fetch(place: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("there is no Prometheus on the PATH, and no package client of Debian's to fetch one with")
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        own = Path(folder)
        (own / "lists" / "partial").mkdir(parents=True)
        (own / "archives" / "partial").mkdir(parents=True)
        private = ("-o", f"Dir::State::Lists={own}/lists", "-o", f"Dir::Cache={own}", "-o", "Debug::NoLocking=true")
        said = _run(own, "apt-get", "-qq", "download", PACKAGE)
        if not list(own.glob("*.deb")):  # a machine that was just made knows of no packages yet
            said += _run(own, "apt-get", "-qq", *private, "update")
            said += _run(own, "apt-get", "-qq", *private, "download", PACKAGE)
        packages = list(own.glob("*.deb"))
        if not packages and any(word in said for word in AWAY):
            pytest.skip(f"Prometheus cannot be fetched, as this machine is offline: {said.strip()[-300:]}")
        assert packages, f"the package {PACKAGE!r} was not fetched:\n{said[-2000:]}"
        said = _run(own, "dpkg-deb", "-x", str(packages[0]), str(own / "unpacked"))
        assert all((own / "unpacked" / "usr" / "bin" / name).is_file() for name in PROGRAMS), said
        shutil.rmtree(place, ignore_errors=True)
        (own / "unpacked").rename(place)


def _run(folder: Path, *argv: str) -> str:
    """What a program said; that it failed is seen by what is missing then."""
    try:
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"Could not wait longer than {FETCH_S:g} s for {argv[0]}."
    return done.stdout + done.stderr


def check_rules(programs: Path, *argv: str) -> str:
    """What `promtool` says; it must be content."""
    done = subprocess.run(
        [str(programs / "promtool"), *argv], capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def serve_prometheus(folder: Path, configuration: str) -> Iterator[str]:
    """A Prometheus on a free port of loopback, and its address."""
    programs = find_programs()
    (folder / "prometheus.yml").write_text(configuration)
    log = folder / "prometheus.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [
                str(programs / "prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'series'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield f"http://{_wait_for_port(process, log)}"
    finally:
        process.kill()
        process.wait(START_S)


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        found = LISTENS.search(log.read_text(errors="replace"))
        if found is not None and _is_ready(found[1]):
            return found[1]
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def _is_ready(place: str) -> bool:
    """Whether it answers queries: it listens before it has opened what it stored."""
    try:
        with urllib.request.urlopen(f"http://{place}/-/ready", timeout=START_S) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False
