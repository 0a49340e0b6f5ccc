"""What does a command say of a run that has ended, rests, or failed?"""

from __future__ import annotations

from quorate.agent.result import RunResult
from quorate.cli.console import say_json, say_styled, tell
from quorate.cli.render import build_document, build_failure, render_failure, render_report
from quorate.cli.watch import is_failed_run, watch
from quorate.errors import QuorateError
from quorate.runtime import Runtime


def say_result(result: RunResult[object], *, json: bool) -> None:
    """Print what a run gave."""
    if json:
        say_json(build_document(result))
    else:
        say_styled(render_report(result))


def say_failed(error: QuorateError, *, agent: str, json: bool) -> int:
    """Say how a run failed, and return the exit code for that; what is no failure of a run is raised again."""
    if not is_failed_run(error):
        raise error
    tell(f"quorate: {render_failure(error, agent=agent or 'The agent')}")
    if json:
        say_json(build_failure(error, agent=agent))
    return 1


async def go_on(runtime: Runtime, run: str, *, json: bool, quiet: bool) -> int:
    """Resume a run and watch it to its end; return the exit code that says how it went."""
    before = await runtime.log.read(run)
    handle = await runtime.resume(run)
    try:
        result, code = await watch(handle, quiet=quiet, before=before)
    except QuorateError as error:
        return say_failed(error, agent=handle.agent, json=json)
    say_result(result, json=json)
    return code
