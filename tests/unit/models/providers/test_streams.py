"""Is a stream the same however a server writes its events?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.contract.test_models import CASES
from tests.unit.models.fuzz.samples import ANSWERS, Subject

from quorate.messages import ReplyDone

EVENTS = [case for case in CASES if Subject(case).dialect.framing == "events"]


def comment(frame: bytes) -> bytes:
    """What keeps a connection alive."""
    return b": OPENROUTER PROCESSING\n\n:\n\nevent: ping\n\ndata:\n\n" + frame


def name(frame: bytes) -> bytes:
    return b"id: 7\nretry: 100\nevent: message\n" + frame if frame.startswith(b"data") else frame


def split(frame: bytes) -> bytes:
    """Data in two lines, which are joined by a line end that JSON does not mind."""
    return frame.replace(b"data: {", b"data: {\ndata: ", 1)


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "crlf": lambda frame: frame.replace(b"\n", b"\r\n"),
    "cr": lambda frame: frame.replace(b"\n", b"\r"),
    "no space": lambda frame: frame.replace(b"data: ", b"data:"),
    "comments": comment,
    "fields": name,
    "lines": split,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", EVENTS, ids=[case.model.replace(":", "-") for case in EVENTS])
def test_a_stream_is_the_same_however_it_is_written(case: object, way: str) -> None:
    subject = Subject(case)  # type: ignore[arg-type]
    for frames in subject.build_streams()[: len(ANSWERS)]:
        wanted = subject.read_stream([b"".join(frames)])
        assert isinstance(wanted[-1], ReplyDone)
        written = b"".join([WAYS[way](frame.replace(b"\r\n", b"\n")) for frame in frames])
        for size in (1, 7, len(written)):
            pieces = [written[start : start + size] for start in range(0, len(written), size)]
            assert subject.read_stream(pieces) == wanted


@pytest.mark.parametrize("case", EVENTS, ids=[case.model.replace(":", "-") for case in EVENTS])
def test_what_comes_after_the_end_changes_nothing(case: object) -> None:
    """A gateway may go on with comments, or with an event of its own."""
    subject = Subject(case)  # type: ignore[arg-type]
    frames = subject.build_streams()[0]
    after = b": bye\n\ndata: \n\ndata\n\n"
    assert subject.read_stream([b"".join(frames), after])[-1] == subject.read_stream(frames)[-1]
