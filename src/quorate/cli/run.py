"""What do `quorate run` and `quorate chat` do?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from msgspec import Struct

from quorate.agent.result import RunResult
from quorate.cli.console import say, say_json, say_styled, tell
from quorate.cli.failures import describe, get_exit_code
from quorate.cli.opening import run_with_runtime
from quorate.cli.options import Json, LimitOptions, Model, Quiet, read_limits
from quorate.cli.render import render_output
from quorate.cli.results import say_failed, say_result
from quorate.cli.watch import watch
from quorate.cli.words import clean_line
from quorate.errors import InvalidInput, QuorateError
from quorate.ids import new_id
from quorate.runtime import RunHandle, Runtime
from quorate.settings.values import cap_limits
from quorate.specs import Limits

MISSING = 3
MOST_TASK_BYTES = 1 << 20
CHAT_HELP = "Type what you want to know. /agent NAME chooses who answers, /new forgets, /exit leaves."

AgentOption = Annotated[
    str | None,
    typer.Option("--agent", "-a", metavar="NAME", help="Who does it; without a name, the words of the task decide."),
]


class Order(Struct, kw_only=True):
    """What was asked for beside the task."""

    agent: str | None
    model: str | None
    limits: Sequence[str] = ()
    session: str | None = None
    quiet: bool = False
    idempotency_key: str | None = None


def add_commands(app: typer.Typer) -> None:
    """Add `run` and `chat`."""
    app.command("run")(run)
    app.command("chat")(chat)


def run(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to do; `-` reads it from standard input.")],
    *,
    agent: AgentOption = None,
    model: Model = None,
    limit: LimitOptions = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="The session that the run belongs to.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Queue it for a worker, print its id, and leave.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="The same key and the same task are the same run."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Do a task, show how it goes, and print what was found."""
    order = Order(
        agent=agent, model=model, limits=limit or (), session=session, quiet=quiet, idempotency_key=idempotency_key
    )
    task = read_task(text)

    async def work(runtime: Runtime) -> int:
        if detach:
            handle = await _submit(runtime, task, order, start=False)
            if json:
                say_json({"run_id": handle.id, "agent": handle.agent, "status": "queued"})
            else:
                say(handle.id)
                tell(f"Queued. A worker does it: quorate worker. Look: quorate runs wait {handle.id}")
            return 0
        try:
            result, code = await do_task(runtime, task, order)
        except QuorateError as error:
            return say_failed(error, agent=order.agent or "", json=json)
        say_result(result, json=json)
        return code

    return run_with_runtime(work)


def chat(
    *,
    agent: AgentOption = None,
    model: Model = None,
    limit: LimitOptions = None,
    session: Annotated[str | None, typer.Option("--session", metavar="NAME", help="The session to go on with.")] = None,
    quiet: Quiet = False,
) -> int:
    """Talk with an agent, line by line; what was said before is known, also in a session of another day."""
    order = Order(agent=agent, model=model, limits=limit or (), session=session or new_id("session"), quiet=quiet)
    is_person = sys.stdin.isatty()
    if is_person:
        tell(CHAT_HELP)
    while True:
        try:
            line = input("> " if is_person else "").strip()
        except EOFError:
            return 0
        except UnicodeDecodeError as error:
            raise InvalidInput(f"What was typed is not text in {error.encoding}: write UTF-8.") from error
        word, _, rest = line.partition(" ")
        if word in {"/exit", "/quit"}:
            return 0
        if word == "/new":
            order.session = new_id("session")
        elif word == "/agent":
            order.agent = rest.strip() or None
        elif word.startswith("/"):
            tell(CHAT_HELP)
        elif line:
            run_with_runtime(partial(_take_turn, line=line, order=order))


async def do_task(runtime: Runtime, task: str, order: Order) -> tuple[RunResult[object], int]:
    """Submit a task and watch it to its end; return how it went, and the exit code that says so."""
    return await watch(await _submit(runtime, task, order), quiet=order.quiet)


async def _submit(runtime: Runtime, task: str, order: Order, *, start: bool = True) -> RunHandle:
    return await runtime.submit(
        task,
        agent=order.agent,
        model=order.model,
        session=order.session,
        limits=_find_limits(runtime, task, order),
        idempotency_key=order.idempotency_key,
        start=start,
    )


def read_task(text: str) -> str:
    """Return the task, read from standard input where it is `-`.

    Raises:
        InvalidInput: There is none, or it is too long.
    """
    if text == "-":
        content = sys.stdin.buffer.read(MOST_TASK_BYTES + 1)
        if len(content) > MOST_TASK_BYTES:
            raise InvalidInput(f"The task has more than {MOST_TASK_BYTES} bytes: put the data in a file and name it.")
        text = content.decode("utf-8", "replace")
    if not text.strip():
        raise InvalidInput('The task is empty: write what to do, such as `quorate run "why is this machine slow?"`.')
    # Bytes of the command line that are no UTF-8 arrive as lone surrogates, which no log can hold.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _find_limits(runtime: Runtime, task: str, order: Order) -> Limits | None:
    if not order.limits:
        return None
    agent = order.agent or runtime.catalog.route(task).agent
    base = runtime.catalog.get(agent).limits
    return cap_limits(read_limits(order.limits, base=base), runtime.settings.limits)


async def _take_turn(runtime: Runtime, *, line: str, order: Order) -> None:
    try:
        result, code = await do_task(runtime, line, order)
    except QuorateError as error:
        if get_exit_code(error) == MISSING:
            raise
        tell(f"quorate: {describe(error)}")
        return
    if code == 0:
        say_styled(list(render_output(result.output))[1:])
    else:
        say(clean_line(result.reason))
