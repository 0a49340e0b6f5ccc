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
