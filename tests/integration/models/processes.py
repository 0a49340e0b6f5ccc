"""How does a test start several real processes that begin their work at the same moment?"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

from tests.forks import Process, fork

Child = Process


@contextmanager
def open_children(script: Path, arguments: Sequence[Sequence[str]]) -> Generator[list[Child]]:
    """Start a process for each list of arguments, wait until all are ready, and let them go; none outlives the block."""
    children = [fork([script, *words], stdin=PIPE, stdout=PIPE) for words in arguments]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def read_words(child: Child) -> dict[str, int]:
    """Read `word=number` from a process's next line."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, f"the process ended with {child.wait()}"
    return {word: int(number) for word, _, number in (pair.partition("=") for pair in line.split())}
