"""How does a test start many processes of Quorate without importing everything in each?

One process imports what most of them import, and does nothing else. Each program is a fork of it: a process of its
own, with the directory, the environment and the streams it was given, that can be killed. What a fork does not show is
that a program imports all it needs, so each command is also started for real.

Run as a program (`python forks.py NUMBER`), this file is the process that forks.
"""

from __future__ import annotations

import atexit
import functools
import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
WARM = Path(__file__).with_name("warm.py")
BOUND = 1 << 20
"""What a request takes at most."""
WITHIN_S = 60.0
COUNTS_LINES = "COVERAGE_PROCESS_START"
NOT_INHERITED = (COUNTS_LINES, "PYTHONDONTWRITEBYTECODE")


class Fork:
    """A process that was forked to run a program; it has of `subprocess.Popen` what tests use."""

    def __init__(self, link: socket.socket, streams: tuple[int | None, int | None, int | None]) -> None:
        self._link = link
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = (
            None if end is None else open(end, mode)  # noqa: SIM115 - they are closed with it
            for end, mode in zip(streams, "wrr", strict=True)
        )
        self.pid = self._read("its number", WITHIN_S)

    def __enter__(self) -> Fork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Return how it ended, or nothing while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end: its exit code, or the number of the signal that ended it, negative."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._read("its end", timeout))
            self._link.close()
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str | None, str | None]:
        """Type something, read what it says until it says no more, and wait for its end."""
        typed, *heard = (None if one is None or one.closed else one for one in (self.stdin, self.stdout, self.stderr))
        said = _talk(typed, (input or "").encode(), (heard[0], heard[1]), timeout)
        self.wait(timeout)
        return said

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended and somebody else may have its number."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _read(self, what: str, timeout: float | None) -> int:
        self._link.settimeout(timeout)
        try:
            said = self._link.recv(64)
        except (TimeoutError, BlockingIOError) as error:
            raise subprocess.TimeoutExpired(f"fork {getattr(self, 'pid', '')}", timeout or 0.0) from error
        assert said, f"the process that forks ended before it told {what}"
        return int(said)


Process = Fork | subprocess.Popen[str]


def pause(process: Process) -> None:
    """Stop a process (SIGSTOP), and come back when all its threads stand."""
    process.send_signal(signal.SIGSTOP)
    end = time.monotonic() + WITHIN_S
    while any(state not in "TZX" for state in _read_states(process.pid)):
        assert time.monotonic() < end, f"process {process.pid} does not stop"
        time.sleep(0.0005)


def _read_states(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended
            yield task.read_text().rpartition(")")[2].split()[0]


def fork(
    command: Sequence[object],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Process:
    """Start a Python program in a fork, as `subprocess.Popen(command, text=True, …)` starts it in a new process.

    Whoever has gone into a network of its own gets a new process there, as a fork would be in that of the others; and
    so does whoever counts lines, which begins with a process.

    Args:
        command: The path of a program, `-m` and a module or `-c` and a text, and its words; an interpreter before them is left out.
        cwd: Where it runs; here, if nothing is said.
        env: Its environment; ours, if nothing is said.
        stdin: `PIPE`, `DEVNULL` or nothing, which is ours; so are the others.
        stdout: The same, or a descriptor.
        stderr: The same.
    """
    words = [str(word) for word in command]
    words = words[1:] if words[0] == sys.executable else words
    is_elsewhere = Path("/proc/thread-self/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    if is_elsewhere or COUNTS_LINES in (os.environ if env is None else env):
        return subprocess.Popen(
            [sys.executable, *words], cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, text=True
        )
    asked = {
        "words": words,
        "cwd": str(cwd or Path.cwd()),
        "env": {k: v for k, v in (os.environ if env is None else env).items() if k not in NOT_INHERITED},
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ExitStack() as stack, theirs:
        ends = [_open_stream(wanted, place, stack) for place, wanted in enumerate((stdin, stdout, stderr))]
        socket.send_fds(get_forker(), [json.dumps(asked).encode()], [theirs.fileno(), *(end for _, end in ends)])
        return Fork(ours, (ends[0][0], ends[1][0], ends[2][0]))


def _open_stream(wanted: int | None, place: int, stack: ExitStack) -> tuple[int | None, int]:
    """Our end and theirs of a standard stream; theirs is closed here once it was handed over."""
    if wanted is None or wanted >= 0:
        return None, place if wanted is None else wanted
    if wanted == subprocess.DEVNULL:
        end = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, end)
        return None, end
    read, write = os.pipe()
    ours, theirs = (write, read) if place == 0 else (read, write)
    stack.callback(os.close, theirs)
    return ours, theirs


def run_fork(
    command: Sequence[object],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_s: float = WITHIN_S,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a fork to its end, as `subprocess.run` does."""
    with fork(command, cwd=cwd, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        try:
            said, complained = process.communicate(stdin, timeout_s)
        finally:
            process.kill()
    return subprocess.CompletedProcess(list(command), process.wait(), said or "", complained or "")


def _talk(
    typed: io.TextIOBase | None,
    given: bytes,
    heard: tuple[io.TextIOBase | None, io.TextIOBase | None],
    timeout: float | None,
) -> tuple[str | None, str | None]:
    """Write what is typed and read what is said until both streams end, and close them."""
    read = {stream.fileno(): bytearray() for stream in heard if stream is not None}
    with selectors.DefaultSelector() as waiting, ExitStack() as stack:
        for stream in heard:
            if stream is not None:
                stack.enter_context(stream)
                waiting.register(stream, selectors.EVENT_READ)
        if typed is not None:
            stack.callback(_close, typed)
            os.set_blocking(typed.fileno(), False)
            waiting.register(typed, selectors.EVENT_WRITE)
        numbers = [None if stream is None else stream.fileno() for stream in heard]
        while waiting.get_map():
            ready = waiting.select(timeout)
            if not ready:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0, bytes(b"".join(read.values())))
            for key, _ in ready:
                given, is_over = _move(key.fd, read.get(key.fd), given)
                if is_over:
                    waiting.unregister(key.fileobj)
                    if key.fd not in read:
                        _close(key.fileobj)
    out, err = (None if number is None else read[number].decode() for number in numbers)
    return out, err


def _close(stream: object) -> None:
    assert isinstance(stream, io.TextIOBase)
    with suppress(BrokenPipeError):
        stream.close()


def _move(end: int, into: bytearray | None, given: bytes) -> tuple[bytes, bool]:
    """Move some bytes through one pipe; return what is still to be typed, and whether the pipe is done."""
    if into is not None:
        piece = os.read(end, 1 << 16)
        into += piece
        return given, not piece
    with suppress(BrokenPipeError):  # it ended without reading
        given = given[os.write(end, given) :]
        return given, not given
    return b"", True


@functools.cache
def get_forker() -> socket.socket:
    """Return what takes requests; the process behind it is started by the first, and ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=PIPE,  # its streams are pipes as those of most of its forks are: Python asks only at the beginning
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k not in NOT_INHERITED},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.communicate(timeout=WITHIN_S)

    atexit.register(end)
    return ours


def serve(control: int) -> Callable[[], object] | None:
    """Fork for each request until nobody can ask any more; in a fork, return what it is to do."""
    asked = socket.socket(fileno=control)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    links: dict[int, int] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(asked, selectors.EVENT_READ)
        waiting.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in waiting.select()}
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(links)
            if control not in ready:
                continue
            said, descriptors, _, _ = socket.recv_fds(asked, BOUND, 4)
            if not said:
                return None
            pid = os.fork()
            if not pid:
                break
            link, *streams = descriptors
            for end in streams:
                os.close(end)
            _tell(link, pid)
            links[pid] = link
    asked.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for place, end in enumerate(descriptors[1:]):
        os.dup2(end, place)
    for end in (woken, wake, *descriptors, *links.values()):
        os.close(end)
    return _become(json.loads(said))


def _tell_ends(links: dict[int, int]) -> None:
    while links:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        link = links.pop(pid)
        _tell(link, status)
        os.close(link)


def _tell(link: int, number: int) -> None:
    with suppress(OSError):  # nobody waits for it any more
        os.write(link, str(number).encode())


def _become(asked: Mapping[str, object]) -> Callable[[], object]:
    words, env = asked["words"], asked["env"]
    assert isinstance(words, list)
    assert isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(asked["cwd"]))
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], os.getcwd()
        return lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    if words[0] == "-c":
        sys.argv, sys.path[0] = ["-c", *words[2:]], ""
        program = compile(words[1], "<string>", "exec", dont_inherit=True)
        return lambda: exec(program, {"__name__": "__main__"})
    sys.argv, sys.path[0] = words, os.path.dirname(words[0])
    return lambda: runpy.run_path(words[0], run_name="__main__")


def end_with(work: Callable[[], object]) -> None:
    """Run a program and end as Python does, but for taking apart what was imported: that takes longer than most runs.

    Threads are waited for, what is registered for the end is called, what is unreachable is finalized, and what was
    said is written. An exception is left to Python.
    """
    code: object = 0
    try:
        work()
    except SystemExit as end:
        code = end.code or 0
    if not isinstance(code, int):
        sys.exit(str(code))
    threading._shutdown()  # type: ignore[attr-defined]  # as `multiprocessing` does
    atexit._run_exitfuncs()
    gc.collect()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Python says so, in its own way
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    runpy.run_path(str(WARM))
    gc.collect()
    gc.freeze()
    work = serve(int(sys.argv[1]))
    if work is not None:
        end_with(work)
