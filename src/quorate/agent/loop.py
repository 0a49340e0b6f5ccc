"""How does an agent work: ask the model, make its calls, and again, until there is an answer?

There is one loop. `run` drains it, `run_stream` hands it on, `resume` starts it on a log that has something in it.
It is closed: behaviour is added by wrapping a port, observation by listening to events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count

from msgspec import structs

from quorate.agent.call import Keyed, record_late, settle_calls, start_calls
from quorate.agent.fingerprint import digest_questions
from quorate.agent.run import Run
from quorate.errors import BlockedByPolicy, Incomplete, InvalidInput, QuorateError, TooLarge
from quorate.events import AnyEvent, GuardBlocked, ModelFailed, ModelReplied, ModelRequested
from quorate.messages import BUDGET_NOTE, Delta, Reply, ReplyDone, ToolCall, build_keys
from quorate.specs import FINAL_TOOL

Steps = AsyncGenerator[AnyEvent | Delta]


async def steps(run: Run) -> Steps:
    """Drive one agent until `run.value` is its answer; yield what is recorded and shown on the way.

    A step that the log has is not made again: its recorded outcome is used, whichever attempt recorded it.

    Raises:
        Incomplete: A limit was met.
        Waiting: Somebody must answer first.
        QuorateError: What an operator must mend.
    """
    journal, digests = run.journal, digest_questions(run, len(run.messages))
    for turn in count(1):
        key = f"{run.path}{turn}/model"
        known = journal.find(key)
        if isinstance(known, ModelReplied):
            reply = known.reply
        else:
            if run.scope.cause is not None:
                raise run.scope.cause
            run.counter.check_turn(turn, run.profile)
            asked = next(digests)
            journal.write(ModelRequested, key, model=run.profile.name, messages=len(run.messages), digest=asked)
            try:
                await journal.commit(run.path)
            except (InvalidInput, TooLarge) as error:
                await record_late(run, error)
                raise
            run.late = None
            if run.live:
                if run.watched:
                    for item in journal.take():
                        yield item
                async with aclosing(stream_reply(run, key)) as items:
                    async for item in items:
                        yield item
                reply = run.reply
            else:
                try:
                    reply = await run.scope.wait(run.model.complete(run.build_request(key)))
                except QuorateError as error:
                    await record_failure(run, key, error)
                    raise
            journal.write(ModelReplied, key, reply=reply)
            run.budget.book(reply)
        run.messages.append(reply.message)
        calls = read_reply(run, reply)
        if calls:
            keyed = list(zip(build_keys(f"{run.path}{turn}", calls), calls, strict=True))
            run.counter.check_calls(calls)
            await start_calls(run, keyed)
            if run.watched:
                async with aclosing(watch_calls(run, keyed)) as items:
                    async for item in items:
                        yield item
            else:
                await run.scope.wait(settle_calls(run, keyed))
        if run.watched:
            for item in journal.take():
                yield item
        if calls is None:
            return


async def stream_reply(run: Run, key: str) -> AsyncGenerator[Delta]:
    """Ask the model for a reply in pieces, and leave the whole in `run.reply`.

    Raises:
        QuorateError: The call failed or was cut; the failure is recorded.
    """
    wait, stream = run.scope.wait, run.model.stream(run.build_request(key))
    try:
        while True:
            item = await wait(anext(stream, None))
            if isinstance(item, ReplyDone):
                run.reply = item.reply
                return
            if item is None:
                raise Incomplete("The model's stream ended before its reply did.", limit="stream")
            yield structs.replace(item, path=run.path) if run.path else item
    except QuorateError as error:
        await record_failure(run, key, error)
        raise
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


async def record_failure(run: Run, key: str, error: QuorateError) -> None:
    """Record that a model call failed, unless it was we who cut it."""
    if error is run.scope.cause:
        return
    run.journal.write(ModelFailed, key, code=error.code, message=error.message)
    if isinstance(error, BlockedByPolicy) and "guard" in error.context:
        facts = error.context
        run.journal.write(GuardBlocked, key, guard=str(facts["guard"]), reason=str(facts.get("reason", "")))
    await run.journal.commit(run.path)


async def watch_calls(run: Run, keyed: list[Keyed]) -> Steps:
    """Make a turn's calls and yield what happens meanwhile.

    Whoever reads a generator may do anything between two items, so the calls have a task of their own here; it ends
    with the generator.
    """
    task = asyncio.get_running_loop().create_task(settle_calls(run, keyed))
    task.add_done_callback(lambda _: run.journal.wake())
    try:
        while True:
            if items := run.journal.take():
                for item in items:
                    yield item
            elif task.done():
                break
            else:
                await run.scope.wait(run.journal.wait_changed())
        task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # whoever left has no use for it


def read_reply(run: Run, reply: Reply) -> tuple[ToolCall, ...] | None:
    """Read what a reply wants: calls to make; a repair (no calls); or nothing more (`None`), as it is the answer.

    Raises:
        Incomplete: The reply was cut, or did not fit the schema once too often.
        BlockedByPolicy: The model refused.
    """
    message, output = reply.message, run.compiled.output
    if reply.stop == "length":
        held = next((note for note in reply.notes if note.startswith(BUDGET_NOTE)), "")
        said = held.removeprefix(BUDGET_NOTE) or "The model's reply was cut at its token limit."
        raise Incomplete(said, limit="cost_usd" if held else "output")
    if reply.stop == "filtered":
        raise BlockedByPolicy(f"The model refused to answer: {message.text[:200] or 'no reason given'}")
    final = output.find_call(message) if run.mode == "tool" else None
    calls = message.tool_calls
    if calls and final is None:
        return calls
    try:
        if run.mode == "tool" and final is None:
            raise InvalidInput(f"Give the final answer by calling the tool `{FINAL_TOOL}`.")
        run.value = output.read(message.text if final is None else final.arguments)
    except InvalidInput as error:
        run.add_repair(error, calls)
        return ()
    if calls:
        run.add_acceptance(calls)
    return None
