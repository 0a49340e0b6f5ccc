"""Whatever is done to a family of sessions, does each know what was said in it?"""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.state.sessions.doubles import ANN, open_desk

from quorate.errors import UpstreamError
from quorate.models.scripted import call

acts = st.lists(
    st.tuples(
        st.sampled_from(["say", "look", "fail", "fork", "leave", "lose", "suspend", "quick"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=14,
)


@given(acts=acts)
async def test_each_session_knows_what_was_said_in_it(acts: list[tuple[str, int, int]]) -> None:
    """Turns, failures, forks, crashes, lost records and rests, in any order, over any of the sessions there are."""
    async with open_desk() as desk:
        said: dict[str, list[str]] = {"s-0": []}
        runs: dict[str, list[tuple[str, int]]] = {"s-0": []}
        for number, (act, which, other) in enumerate(acts):
            session = f"s-{which % len(said)}"
            task = f"task {number}"
            if act in ("say", "quick", "look", "fail"):
                answers = {"look": [call("look", name="disk"), "seen"], "fail": [UpstreamError("away")]}.get(
                    act, ["done"]
                )
                try:
                    result = await desk.say(task, *answers, session=session)
                    run = result.run_id
                except UpstreamError as error:
                    run = str(error.context["run"])
                said[session] = said[session] + {"look": [task, "", "", "seen"], "fail": [task]}.get(
                    act, [task, "done"]
                )
                runs[session].append((run, len(said[session])))
                if act == "quick":
                    desk.clock.jump(-60)  # the next one begins at the same moment
            elif act == "fork" and runs[session]:
                run, length = runs[session][other % len(runs[session])]
                fork = f"s-{len(said)}"
                await desk.sessions.fork(session, run, **ANN, name=fork)
                said[fork], runs[fork] = said[session][:length], []
            elif act == "leave":
                await desk.leave(await desk.sessions.begin_turn(session, **ANN))
                desk.clock.advance(60)
            elif act == "lose" and runs[session]:
                await desk.store.values.delete(f"session/default/{session}")
            elif act == "suspend" and (await desk.sessions.begin_turn(session, **ANN)):
                await desk.sessions.suspend(session, **ANN)
                await desk.sessions.resume(session, **ANN)
        for session, texts in said.items():
            if texts or runs[session]:
                history = await desk.again().sessions.history(session, **ANN)
                assert [message.text for message in history] == texts
