"""What does the front door do before anything else is imported?"""

import subprocess
import sys

import pytest

from quorate.cli import HELP_FILE
from quorate.cli.pages import build_page
from quorate.cli.watch import find_cause


def test_the_stored_page_of_help_is_what_the_commands_say() -> None:
    """`python -m quorate.cli.pages` writes it again. row: C17"""
    with open(HELP_FILE, encoding="utf-8") as page:
        assert page.read() == build_page()


def test_the_page_of_help_costs_nothing_to_show() -> None:
    """Neither typer nor any room of ours is imported for it. row: C17"""
    code = (
        "import sys; from quorate.cli import main; code = main(['--help'])\n"
        "print(code, [m for m in sys.modules if m.split('.')[0] in ('typer', 'rich', 'msgspec', 'asyncio')], "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("Usage: quorate [OPTIONS] COMMAND [ARGS]...")
    assert done.stderr == "0 []\n"


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(module: str) -> None:
    """Help is shown all the same. row: C17"""
    code = (
        f"import sys; sys.modules[{module!r}] = None; from quorate.cli import main; sys.exit(main(['agents', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == "quorate: The command line needs the extra `cli`: pip install 'quorate[cli]'\n"
    assert done.returncode == 3


def test_a_second_signal_leaves_at_once() -> None:
    """Even where something does not let go: with the run's id and how to go on, and the code of an interrupt. row: C17"""
    code = """
import asyncio, signal
from quorate.cli.watch import interruptible

class Stuck:
    id = "run-1"
    def release(self): pass

async def main():
    with interruptible(Stuck()):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.01)
        await asyncio.sleep(60)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr == (
        "Stopping run-1 … (again to leave at once)\nLeft at once. Run run-1 can be resumed: quorate runs resume run-1\n"
    )


def test_the_cause_is_found_in_groups_of_errors() -> None:
    """What a person reads is the first failure, not the group it came in."""
    cause = ValueError("x")
    assert find_cause(ExceptionGroup("a", [ExceptionGroup("b", [cause]), KeyError("y")])) is cause
    assert find_cause(cause) is cause
