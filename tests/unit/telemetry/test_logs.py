"""Does a line of the log say where it belongs, and nothing that may not be said?"""

import io
import json
import logging

import pytest

from quorate import Agent, ScriptedModel, tool
from quorate.agent.run import RunOptions
from quorate.agent.traced import Traced
from quorate.models.scripted import call
from quorate.telemetry.context import derive_span_id, parse_traceparent
from quorate.telemetry.logs import MAX_TEXT, JsonFormatter, TextFormatter
from quorate.telemetry.place import get_place

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own, and what it wrote."""
    logger, written = logging.Logger("shop"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter(secrets=["hunter2", "hunter2-long", "abc"]))
    logger.addHandler(handler)
    return logger, written


def read(written: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


async def test_what_a_tool_logs_has_its_trace(log: tuple[logging.Logger, io.StringIO]) -> None:
    """Also side by side, in a thread, and in a delegate; outside there is none. part of row A10"""
    logger, written = log

    @tool(effect="idempotent")
    def sell(item: str) -> str:
        """Sell something, in a thread."""
        logger.warning("sold %s", item)
        return "sold"

    helper = Agent("helper", description="Sells.", model=ScriptedModel([call("sell", item="c"), "Done."]), tools=[sell])
    calls = [call("sell", item="a"), call("sell", item="b"), call("helper", task="Sell c.")]
    agent = Agent("shop", model=ScriptedModel([calls, "Done."]), tools=[sell, helper])
    logger.warning("open")
    result = await agent.run("Sell.", options=RunOptions(wrap=Traced, trace=ASKED))
    lines = {line["message"]: line for line in read(written)}
    run = result.run_id
    assert "trace_id" not in lines["open"]
    for item, place in (("a", "1/tool/call-1-1"), ("b", "1/tool/call-1-2"), ("c", "1/tool/call-1-3/1/tool/call-1-1")):
        line = lines[f"sold {item}"]
        assert (line["run"], line["key"]) == (run, place)
        assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert line["span_id"] == derive_span_id(run, place)
    assert get_place() is None


async def test_a_run_remembers_who_asked(log: tuple[logging.Logger, io.StringIO]) -> None:
    agent = Agent("shop", model=ScriptedModel(["Done."]))
    result = await agent.run("Sell.", options=RunOptions(trace=ASKED))
    assert parse_traceparent(result.events[0].trace) is not None


def test_a_record_is_one_line_whatever_it_holds(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    logger.error('two\nlines\r\x1b[31m"quoted"\u2028', extra={"order": 7, "level": "forged", "message_": "x\ny"})
    logger.error("long %s", "x" * (2 * MAX_TEXT))
    first, second = read(written)
    assert first["message"] == 'two\nlines\r\x1b[31m"quoted"\u2028'
    assert (first["order"], first["level"]) == (7, "error")
    assert len(str(second["message"])) < MAX_TEXT + 100
    assert len(written.getvalue().splitlines()) == 2


def test_secrets_are_hidden_in_words_errors_and_facts(log: tuple[logging.Logger, io.StringIO]) -> None:
    """The longer of two that overlap too; what is too short to be one stays readable. part of row C20"""
    logger, written = log
    try:
        raise ValueError("password hunter2-long")
    except ValueError:
        logger.exception("with hunter2 and abc", extra={"key": "hunter2"})
    assert "hunter2" not in written.getvalue()
    assert "-long" not in written.getvalue()
    assert "ValueError" in str(read(written)[0]["error"])
    assert "abc" in written.getvalue()


def test_nobody_writes_a_line_of_their_own_for_people(log: tuple[logging.Logger, io.StringIO]) -> None:
    """Nor tells a terminal what to do; a stack has its lines, and a secret of several lines is hidden all the same."""
    logger, written = log
    logger.handlers[0].setFormatter(TextFormatter("%(levelname)s %(message)s", secrets=["one\ntwo"]))
    logger.error("bad\n2026 ERROR forged\x1b[2J one\ntwo\n")
    assert written.getvalue() == "ERROR bad\\x0a2026 ERROR forged\\x1b[2J ********\n"
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("sorry")
    assert written.getvalue().splitlines()[1:3] == ["ERROR sorry", "Traceback (most recent call last):"]
