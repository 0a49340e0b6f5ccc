"""How much of our code does one question, one tool call and one answer run through?"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from types import CodeType, FrameType

from tests.house.source import SRC

FUNCTIONS_MOST, FILES_MOST = 60, 20


def trace(start: Callable[[], Coroutine[object, object, object]]) -> set[CodeType]:
    """Run a coroutine to its end and collect every named function of ours that was entered, on any thread."""
    seen: set[CodeType] = set()
    home = str(SRC)

    def profile(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(home) and not code.co_name.startswith("<"):
            seen.add(code)

    async def main() -> None:
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            await start()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    asyncio.run(main())
    return seen


def test_a_two_turn_run_is_readable_in_one_sitting() -> None:
    """At most 60 of our functions in at most 20 of our files, so that a person can follow one run."""
    from quorate import Agent, RunResult, tool
    from quorate.models.scripted import ScriptedModel, call

    @tool(effect="idempotent")
    async def add(a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: The first number.
            b: The second number.
        """
        return a + b

    agent = Agent("calc", model=ScriptedModel([call("add", a=1, b=2), "3"]), tools=[add])
    results: list[RunResult[str]] = []

    async def run() -> None:
        results.append(await agent.run("1+2"))

    seen = trace(run)
    names = sorted(f"{code.co_filename.removeprefix(str(SRC))}:{code.co_qualname}" for code in seen)
    files = {code.co_filename for code in seen}
    assert [result.output for result in results] == ["3"]
    assert len(seen) <= FUNCTIONS_MOST, f"{len(seen)} functions:\n" + "\n".join(names)
    assert len(files) <= FILES_MOST, f"{len(files)} files:\n" + "\n".join(sorted(files))


def test_the_trace_sees_our_functions() -> None:
    """The measure is measured: making an id enters exactly the functions of `ids`."""
    from quorate.ids import new_id

    async def run() -> None:
        new_id("run")

    assert "new_id" in {code.co_name for code in trace(run)}
