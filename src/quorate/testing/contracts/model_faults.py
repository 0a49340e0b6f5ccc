"""What must every model behind a provider do when something goes wrong?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec

from quorate.errors import (
    Forbidden,
    Incomplete,
    InvalidInput,
    NotFound,
    QuorateError,
    RateLimited,
    TooLarge,
    Unauthenticated,
    UpstreamError,
)
from quorate.messages import Message, Reply, ReplyDone, StreamItem, TextDelta, Thinking
from quorate.models.framing import build_parser
from quorate.models.providers import find_dialect
from quorate.models.remote import RemoteModel
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request
from quorate.testing.contracts.building import expect
from quorate.testing.contracts.model_case import CALLS, CANARY, LOOK, ModelCase, ask, build_request
from quorate.testing.provider_server.script import Answer, Sent
from quorate.testing.provider_server.server import find_wire

PLAIN = build_request()
TOOLS = build_request(tools=(LOOK,))
FULL = Answer(text="Grüße!", thinking="Hm.", calls=CALLS[:1], piece=4)
CUTS: tuple[Literal["end", "abort"], ...] = ("end", "abort")
STATUSES: tuple[tuple[int, type[QuorateError], bool | None], ...] = (
    (400, UpstreamError, False),
    (401, Unauthenticated, None),  # a token that was fetched may be fetched anew
    (403, QuorateError, False),
    (404, QuorateError, False),
    (408, UpstreamError, True),
    (413, TooLarge, False),
    (429, RateLimited, True),
    (500, UpstreamError, True),
    (502, UpstreamError, True),
    (503, UpstreamError, True),
    (504, UpstreamError, True),
)
"""What a status alone means, and whether the same call may succeed later."""
GARBAGE = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b"\xff\xfe\x00",
    b"<html>Bad gateway</html>",
    b'{"a": ' + b"[" * 100_000,
    b'{"choices": 7, "content": 7, "candidates": 7, "output": 7, "message": 7}',
)


class ModelFaultsContract:
    """What no provider may get wrong; see `quorate.testing.contracts` on how to use it. The fixture is `case`."""

    async def test_a_stream_cut_at_any_byte_is_no_success(self, case: ModelCase) -> None:
        """Whether its end looks like one or the connection breaks; what came is kept as partial.

        Every byte is tried on what reads the bytes, and around every frame's edges on a connection too.
        """
        answer = FULL if case.thinking else msgspec.structs.replace(FULL, thinking="")
        async with case.connect([answer]) as (model, server):
            await ask(model, TOOLS, stream=True)
            target, frames = model.target, _build_frames(server.requests[0], answer)
            assert sum(map(len, frames)) == server.sizes[0]
        whole = b"".join(frames)
        assert _read_stream(target, whole).message.text == answer.text
        for end in range(len(whole)):
            assert not _is_whole(partial(_read_stream, target, whole[:end])), end
        ends = [(end, how) for end in _find_edges(frames) for how in CUTS]
        cuts = [msgspec.structs.replace(answer, cut_at=end, cut=how) for end, how in ends]
        async with case.connect([*cuts, answer]) as (model, _):
            for end, how in ends:
                given: list[StreamItem] = []
                error = await _fail(model, TOOLS, stream=True, given=given)
                assert isinstance(error, (Incomplete, UpstreamError)), (end, how, error)
                _check_cut(given, error)
            assert (await ask(model, TOOLS, stream=True)).message.text == answer.text

    async def test_a_whole_answer_cut_anywhere_is_no_success(self, case: ModelCase) -> None:
        """A beginning of an answer is never taken for one; every byte is tried on what reads the bytes."""
        async with case.connect([FULL]) as (model, server):
            await ask(model, TOOLS, stream=False)
            target, sent = model.target, server.requests[0]
        wire = find_wire(sent.path)
        assert wire is not None
        whole, dialect = wire.build_body(FULL, sent).rstrip(), find_dialect(target.provider)
        for end in range(len(whole)):
            assert not _is_whole(partial(dialect.decode, whole[:end], target)), end
        ends = [(end, how) for end in (*range(0, len(whole), 1 + len(whole) // 16), len(whole) - 1) for how in CUTS]
        cuts = [msgspec.structs.replace(FULL, cut_at=end, cut=how) for end, how in ends]
        async with case.connect(cuts) as (model, _):
            for end, how in ends:
                error = await _fail(model, TOOLS, stream=False)
                assert isinstance(error, (Incomplete, UpstreamError)), (end, how, error)

    async def test_a_spoilt_frame_is_no_success(self, case: ModelCase) -> None:
        """Wherever it is in the stream."""
        for place in range(await _count_frames(case)):
            async with case.connect([msgspec.structs.replace(FULL, garble=place)]) as (model, _):
                given: list[StreamItem] = []
                error = await _fail(model, TOOLS, stream=True, given=given)
                assert isinstance(error, (Incomplete, UpstreamError)), (place, error)
                _check_cut(given, error)

    async def test_an_error_inside_a_stream_is_no_success(self, case: ModelCase) -> None:
        """Wherever it comes; before the first piece the call may be made again, after it never."""
        for place in range(await _count_frames(case)):
            async with case.connect([msgspec.structs.replace(FULL, fail_at=place)]) as (model, _):
                given: list[StreamItem] = []
                error = await _fail(model, TOOLS, stream=True, given=given)
                assert isinstance(error, (Incomplete, UpstreamError, RateLimited)), (place, error)
                assert given or error.retryable, (place, error)
                _check_cut(given, error)

    async def test_a_frame_that_is_missing_or_twice_is_met(self, case: ModelCase) -> None:
        """The answer is one, or an error of ours; its end is never missed."""
        count = await _count_frames(case)
        for place in range(count):
            for fault in ({"drop": place}, {"repeat": place}):
                async with case.connect([msgspec.structs.replace(FULL, **fault)]) as (model, _):
                    got = await _try(model, TOOLS, stream=True)
                assert isinstance(got, (Reply, Incomplete, UpstreamError)), (fault, got)
                if fault == {"drop": count - 1}:
                    assert not isinstance(got, Reply), "a stream without its last frame was taken for a whole one"

    async def test_garbage_is_no_success(self, case: ModelCase) -> None:
        """In the place of an answer, whole or streamed; what it says is not repeated."""
        for stream in (False, True):
            async with case.connect([Answer(raw=body) for body in GARBAGE]) as (model, _):
                for body in GARBAGE:
                    error = await _fail(model, PLAIN, stream=stream)
                    assert isinstance(error, (Incomplete, UpstreamError)), (body[:20], error)
                    assert "gateway" not in str(error)

    async def test_what_is_of_another_type_is_no_success(self, case: ModelCase) -> None:
        """A page where a stream was asked for."""
        page = Answer(raw=b"<html>canary-page</html>", content_type="text/html; charset=utf-8")
        async with case.connect([page, page]) as (model, _):
            for stream in (True, False):
                error = await _fail(model, PLAIN, stream=stream)
                assert isinstance(error, UpstreamError)
                assert "canary" not in str(error)

    async def test_an_unknown_reason_to_stop_is_named(self, case: ModelCase) -> None:
        """It is not taken for a good end."""
        if not case.open_stops:
            return
        for stream in (False, True):
            async with case.connect([Answer(text="half", finish="canary_reason")]) as (model, _):
                error = await _fail(model, PLAIN, stream=stream)
            assert isinstance(error, (UpstreamError, Incomplete))
            assert "canary_reason" in f"{error} {error.__cause__}"

    async def test_an_answer_without_an_end_is_incomplete(self, case: ModelCase) -> None:
        """The provider did not say why it stopped, so it did not."""
        for stream in (False, True):
            async with case.connect([Answer(text="half", finish=None)]) as (model, _):
                error = await _fail(model, PLAIN, stream=stream)
            assert isinstance(error, (Incomplete, UpstreamError))
            assert error.context.get("partial") in ("half", None)

    async def test_statuses_have_our_names(self, case: ModelCase) -> None:
        """Each with whether another attempt may help, and the provider's status."""
        for status, kind, retryable in STATUSES:
            async with case.connect([Answer(status=status), Answer(status=status, raw=b"<html>")]) as (model, _):
                for stream in (False, True):
                    error = await _fail(model, PLAIN, stream=stream)
                    assert isinstance(error, kind), (status, error)
                    assert retryable in (None, error.retryable), (status, error)
                    assert error.context.get("status") == status or isinstance(error, NotFound | InvalidInput)

    async def test_how_long_to_wait_is_kept(self, case: ModelCase) -> None:
        """With every status that may carry it."""
        for status in (429, 503):
            async with case.connect([Answer(status=status, headers={"Retry-After": "7"})]) as (model, _):
                error = await _fail(model, PLAIN, stream=True)
            assert error.context.get("retry_after_s") == 7

    async def test_a_key_is_never_shown(self, case: ModelCase) -> None:
        """Not by the model, nor by any error, even when the provider repeats it."""
        echo = f'{{"error": {{"message": "bad key {CANARY}", "code": "{CANARY}"}}, "message": "{CANARY}"}}'.encode()
        for status in (200, 400, 401, 403, 404, 429, 500):
            async with case.connect([Answer(status=status, raw=echo)] * 2) as (model, _):
                for stream in (False, True):
                    error = await _fail(model, PLAIN, stream=stream)
                    shown = f"{error!r} {error} {error.context} {error.__cause__!r} {model!r} {model.profile!r}"
                    assert CANARY not in shown, (status, shown)

    async def test_another_key_is_refused(self, case: ModelCase) -> None:
        """The server is asked with the key that the credentials give, at each call."""
        if case.key is None:
            return
        async with case.connect(["never"], key="another") as (model, server):
            error = await _fail(model, PLAIN, stream=False)
        assert isinstance(error, (Unauthenticated, Forbidden))
        assert not server.requests

    async def test_what_no_message_may_hold_is_refused(self, case: ModelCase) -> None:
        """Before anything is sent: reasoning of a person, nothing at all to say."""
        async with case.connect(lambda _: "Hello.") as (model, server):
            with expect(InvalidInput, "Thinking"):
                await model.complete(build_request(Thinking(text="x")))
            with expect(InvalidInput, "no messages"):
                await model.complete(Request(messages=()))
            with expect(InvalidInput, "`stream`"):
                await model.complete(build_request(settings=ModelSettings(extra={"stream": True})))
        assert not server.requests

    async def test_nothing_is_said_twice_about_an_empty_turn(self, case: ModelCase) -> None:
        """A turn without parts is carried or refused, and never breaks the encoder."""
        history = (*PLAIN.messages, Message(role="assistant", parts=()), *PLAIN.messages)
        async with case.connect(["Hello."]) as (model, _):
            got = await _try(model, build_request(history=history), stream=False)
        assert isinstance(got, (Reply, InvalidInput))


def _check_cut(given: list[StreamItem], error: QuorateError) -> None:
    """Check what an error says of the pieces that were given out before it."""
    assert not any(isinstance(item, ReplyDone) for item in given)
    if given:
        assert isinstance(error, Incomplete)
        assert not error.retryable
        said = "".join(item.text for item in given if isinstance(item, TextDelta))
        assert error.context.get("partial") == said


async def _count_frames(case: ModelCase) -> int:
    """Count the frames of a stream: as many as can be left out."""
    async with case.connect([FULL]) as (model, server):
        await ask(model, TOOLS, stream=True)
    return len(_build_frames(server.requests[0], FULL))


def _build_frames(sent: Sent, answer: Answer) -> list[bytes]:
    """Build the frames that the server answered with."""
    wire = find_wire(sent.path)
    assert wire is not None
    return list(wire.build_frames(answer, sent))


def _find_edges(frames: Sequence[bytes]) -> list[int]:
    """Find the places around the beginning, the middle and the end of every frame."""
    found: list[int] = []
    start = 0
    for frame in frames:
        size = len(frame)
        found += sorted({start, start + 1, start + size // 2, start + size - 1})
        start += size
    return found


def _read_stream(target: Target, body: bytes) -> Reply:
    """Read a stream as a model does, without a connection."""
    dialect = find_dialect(target.provider)
    decoder = dialect.build_decoder(target)
    for event in build_parser(dialect.framing).feed(body):
        decoder.feed(event)
    return decoder.finish().reply


def _is_whole(read: Callable[[], Reply]) -> bool:
    """Whether something is taken for a whole answer."""
    try:
        read()
    except (Incomplete, UpstreamError):
        return False
    return True


async def _try(
    model: RemoteModel, request: Request, *, stream: bool, given: list[StreamItem] | None = None
) -> Reply | QuorateError:
    try:
        return await ask(model, request, stream=stream, given=given)
    except QuorateError as error:
        return error


async def _fail(
    model: RemoteModel, request: Request, *, stream: bool, given: list[StreamItem] | None = None
) -> QuorateError:
    got = await _try(model, request, stream=stream, given=given)
    assert isinstance(got, QuorateError), f"this was taken for a success: {got!r}"
    return got
