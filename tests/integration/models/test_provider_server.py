"""Does the shipped test server behave like a provider?"""

import aiohttp
import msgspec

from quorate.messages import ToolCall
from quorate.testing.provider_server import Answer, ProviderServer, build_answer, provider_server


async def post(
    server: ProviderServer, body: bytes = b"{}", *, path: str = "/chat/completions", key: str = "k"
) -> tuple[int, dict]:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {key}"}
        async with session.post(server.url + path, data=body, headers=headers) as response:
            return response.status, msgspec.json.decode(await response.read())


async def test_it_refuses_what_a_provider_refuses() -> None:
    """A wrong key, a wrong address, a body that is no JSON, and one call too many."""
    async with provider_server(key="k") as server:
        assert (await post(server, key="other"))[0] == 401
        assert (await post(server, path="/else"))[0] == 404
        assert (await post(server, b"{"))[0] == 400
        status, body = await post(server)
        assert (status, body["error"]["code"]) == (500, "script_is_at_its_end")
    assert len(server.requests) == 1


async def test_it_listens_on_ipv6_too() -> None:
    async with provider_server(["Hello."], host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert (await post(server))[0] == 200


async def test_a_function_may_answer() -> None:
    async with provider_server(lambda sent: f"You are {sent.body['user']}.") as server:
        _, body = await post(server, b'{"user": "me"}')
        assert body["choices"][0]["message"]["content"] == "You are me."


def test_short_forms_are_answers() -> None:
    call = ToolCall(id="a", name="f")
    assert build_answer("x") == Answer(text="x")
    assert build_answer(call) == build_answer([call]) == Answer(calls=(call,))


async def stream(answer: Answer, path: str = "/v1/chat/completions") -> bytes:
    """Read what a streamed answer is on the wire."""
    async with (
        provider_server([answer]) as server,
        aiohttp.ClientSession() as session,
        session.post(server.origin + path, data=b'{"stream": true, "model": "m"}') as response,
    ):
        return await response.read()


async def test_frames_may_be_lost_sent_twice_or_spoilt() -> None:
    """Each is told apart from the whole stream by that one frame."""
    whole = (await stream(Answer(text="abcdefgh", piece=4))).split(b"\n\n")
    for fault, wanted in (({"drop": 1}, -1), ({"repeat": 1}, 1), ({"garble": 1}, 0)):
        got = (await stream(Answer(text="abcdefgh", piece=4, **fault))).split(b"\n\n")
        assert len(got) == len(whole) + wanted
        assert (got == whole) is False
        assert [got[0], *got[-3:]] == [whole[0], *whole[-3:]]


async def test_a_provider_may_fail_in_the_middle() -> None:
    """In the words of each format, and nothing comes after it."""
    chat = await stream(Answer(text="abcdefgh", piece=4, fail_at=2, code="overloaded"))
    assert chat.split(b"\n\n")[-2].startswith(b'data: {"error"')
    assert b"overloaded" in chat
    assert b"[DONE]" not in chat
    items = await stream(Answer(text="abcdefgh", fail_at=2, code="overloaded"), "/v1/responses")
    assert b"event: error\n" in items
    assert b"response.completed" not in items
    lines = await stream(Answer(text="abcdefgh", fail_at=1, code="overloaded"), "/api/chat")
    assert msgspec.json.decode(lines.splitlines()[-1]) == {"error": "The test server refuses: overloaded."}


async def test_bytes_may_drip_and_end_anywhere() -> None:
    answer = Answer(text="abcdefgh")
    whole = await stream(answer)
    assert await stream(Answer(text="abcdefgh", drip=1)) == whole
    for end in (0, 1, len(whole) - 1):
        assert await stream(Answer(text="abcdefgh", cut_at=end)) == whole[:end]


async def test_a_type_may_be_wrong() -> None:
    answer = Answer(raw=b"<html>", content_type="text/html")
    async with (
        provider_server([answer]) as server,
        aiohttp.ClientSession() as session,
        session.post(server.url + "/chat/completions", data=b"{}") as response,
    ):
        assert (response.content_type, await response.read()) == ("text/html", b"<html>")


async def test_vectors_and_models_are_served() -> None:
    """As the script says, or worked out from the texts."""
    async with provider_server([Answer(), Answer(vectors=((1.0,),)), Answer(models=("a", "b"))]) as server:
        _, worked_out = await post(server, b'{"input": ["x", "x", "y"]}', path="/embeddings")
        rows = sorted(worked_out["data"], key=lambda row: row["index"])
        assert rows[0]["embedding"] == rows[1]["embedding"] != rows[2]["embedding"]
        _, said = await post(server, b'{"input": "x"}', path="/embeddings")
        assert said["data"][0]["embedding"] == [1.0]
        async with aiohttp.ClientSession() as session, session.get(server.url + "/models") as response:
            listed = msgspec.json.decode(await response.read())
    assert [row["id"] for row in listed["data"]] == ["a", "b"]
    assert [sent.method for sent in server.requests] == ["POST", "POST", "GET"]
