"""Is a stream that was cut at any byte ever taken for a whole one?"""

from __future__ import annotations

import pytest
from tests.contract.test_models import CASES
from tests.unit.models.fuzz.samples import ANSWERS, NAMES, Subject

from quorate.errors import Incomplete, UpstreamError
from quorate.messages import ReplyDone
from quorate.testing.contracts.model_case import ModelCase


@pytest.fixture(params=CASES, ids=NAMES)
def subject(request: pytest.FixtureRequest) -> Subject:
    case: ModelCase = request.param
    return Subject(case)


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_a_stream_cut_at_any_byte_is_found_out(subject: Subject, number: int) -> None:
    """However it was cut on its way, words, reasoning, calls or a refusal."""
    frames = subject.build_streams()[number]
    whole = b"".join(frames)
    assert isinstance(subject.read_stream([whole])[-1], ReplyDone)
    assert subject.read_stream([bytes([byte]) for byte in whole]) == subject.read_stream([whole])
    for end in range(len(whole)):
        with pytest.raises((Incomplete, UpstreamError)):
            subject.read_stream([whole[:end]])


def test_a_stream_of_one_byte_at_a_time_cut_anywhere_is_found_out(subject: Subject) -> None:
    """What a parser held back is lost with the rest."""
    whole = b"".join(subject.build_streams()[1])
    for end in range(0, len(whole), 17):
        with pytest.raises((Incomplete, UpstreamError)):
            subject.read_stream([bytes([byte]) for byte in whole[:end]])


def test_a_reply_cut_at_any_byte_is_found_out(subject: Subject) -> None:
    """Also where it comes in one piece."""
    for body in subject.build_bodies():
        subject.read_whole(body)
        for end in range(len(body.rstrip())):
            with pytest.raises((Incomplete, UpstreamError)):
                subject.read_whole(body[:end])


def test_a_frame_that_never_came_is_no_end(subject: Subject) -> None:
    """A stream may be read without some of its frames, but never without its last one."""
    for frames in subject.build_streams()[: len(ANSWERS)]:
        with pytest.raises((Incomplete, UpstreamError)):
            subject.read_stream(frames[:-1])
