"""Does a conversation go on when its reasoning was closed for another account?"""

from quorate.messages import Message, ReplyDone, Text, Thinking, build_user_message
from quorate.models.forgetting import NOTE
from quorate.models.gateway import build_model
from quorate.specs import Request
from quorate.testing.provider_server import Answer, Sent, provider_server

THOUGHT = Thinking(text="", signature="closed", id="rs_1", provider="openai", redacted=True)
HISTORY = (
    build_user_message("What is 2+2?"),
    Message(role="assistant", parts=(THOUGHT, Text(text="4"))),
    Message(role="assistant", parts=(THOUGHT,)),
    build_user_message("And 3+3?"),
)


def refuse_reasoning(sent: Sent) -> Answer:
    if "closed" in str(sent.body):
        return Answer(status=400, code="invalid_encrypted_content")
    return Answer(text="6")


async def test_reasoning_that_cannot_be_opened_is_left_out_and_said() -> None:
    """Whole and streamed; a conversation is not refused for ever after a change of the account."""
    async with provider_server(refuse_reasoning) as server:
        model = build_model(
            "openai-responses:gpt-5.2",
            credentials={"OPENAI_API_KEY": "test"}.get,
            base_urls={"openai-responses": server.url},
        )
        reply = await model.complete(Request(messages=HISTORY))
        items = [item async for item in model.stream(Request(messages=HISTORY))]
        await model.aclose()
    assert (reply.message.text, reply.notes) == ("6", (NOTE,))
    assert isinstance(items[-1], ReplyDone)
    assert (items[-1].reply.message.text, items[-1].reply.notes) == ("6", (NOTE,))
    assert ["closed" in str(sent.body) for sent in server.requests] == [True, False, True, False]
