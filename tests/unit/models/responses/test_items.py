"""Are items that are no call of ours skipped, whatever they hold?"""

import json

from quorate.messages import ReplyDone, ToolCall
from quorate.models.providers.responses.reply import decode
from quorate.models.providers.responses.stream import StreamDecoder

SEARCH = {"type": "tool_search_call", "call_id": None, "execution": "server", "arguments": {"paths": ["tools"]}}
CALL = {"type": "function_call", "call_id": "a", "name": "look", "arguments": {"at": 1}}
OWN = ToolCall(id="a", name="look", arguments='{"at":1}')


def test_what_is_searched_by_the_provider_is_skipped() -> None:
    """And arguments that a server gives as an object are read as what they say."""
    body = {"id": "r", "model": "m", "status": "completed", "output": [SEARCH, CALL]}
    assert decode(json.dumps(body).encode()).message.parts == (OWN,)


def test_a_stream_skips_them_too() -> None:
    decoder = StreamDecoder()
    for kind in ("added", "done"):
        for place, item in enumerate((SEARCH, CALL)):
            event = {"type": f"response.output_item.{kind}", "output_index": place, "item": item}
            decoder.feed(json.dumps(event).encode())
    end = {"id": "r", "model": "m", "status": "completed", "output": [SEARCH, CALL]}
    decoder.feed(json.dumps({"type": "response.completed", "response": end}).encode())
    done = decoder.finish()
    assert isinstance(done, ReplyDone)
    assert done.reply.message.parts == (OWN,)
