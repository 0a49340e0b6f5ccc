"""A program that takes turns in a session of a database, one act after another, and can be killed at any of them.

Usage: taker.py DATABASE ACT…; an act is `say:TASK`, `begin:RUN`, `die`, `suspend`, `resume`, `complete`, `sweep`,
`recover`, `dying-hook` or `hook`. What the model was asked with is printed as JSON, one line a turn.
"""

import asyncio
import json
import os
import signal
import sys

from quorate import Agent, Request, ScriptedModel, Settings, open_runtime
from quorate.state.sessions import CleanupHook, Session, SessionStore

WHO = {"tenant": "default", "principal": "ann"}


def answer(request: Request) -> str:
    texts = [message.text for message in request.messages]
    print(json.dumps(texts), flush=True)
    return f"You said: {texts[-1]}"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def clean(session: Session) -> None:
    print(json.dumps(f"cleaned {session.id}"), flush=True)


async def clean_and_die(session: Session) -> None:
    await clean(session)
    die()


async def main(database: str, acts: list[str]) -> None:
    agent = Agent("chatter", model=ScriptedModel(answer))
    async with open_runtime(Settings(database=database)) as runtime:
        sessions = runtime.sessions
        for act in acts:
            verb, _, word = act.partition(":")
            if verb == "say":
                handle = await runtime.submit(word, agent=agent, session="s-1", principal="ann")
                await handle.wait()
            elif verb == "begin":
                await sessions.begin_turn("s-1", **WHO, run=word)
            elif verb in ("hook", "dying-hook"):
                hooks = [CleanupHook(name="basket", clean=clean if verb == "hook" else clean_and_die)]
                sessions = SessionStore(runtime.store.values, runtime.log, clock=runtime.clock, hooks=hooks)
            elif verb == "die":
                die()
            elif verb == "sweep":
                await sessions.sweep(tenant="default")
            elif verb == "recover":
                await sessions.recover("s-1", **WHO)
            else:
                await getattr(sessions, verb)("s-1", **WHO)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
