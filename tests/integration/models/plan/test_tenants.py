"""Can what a tenant wrote lead to the inside of the network?"""

import pytest

from quorate.errors import Forbidden, InvalidInput
from quorate.messages import build_user_message
from quorate.models.remote import RemoteModel
from quorate.models.target import find_target
from quorate.specs import Request
from quorate.testing.provider_server import provider_server

KEYS = {"OPENAI_API_KEY": "tenant-key-0123456789"}
REQUEST = Request(messages=(build_user_message("hello"),))


async def ask(url: str, *, name: str = "openai:gpt-5.2") -> None:
    provider = name.partition(":")[0]
    target = find_target(name, credentials=KEYS.get, base_urls={provider: url}, is_trusted=False)
    model = RemoteModel(target, credentials=KEYS.get)
    try:
        await model.complete(REQUEST)
    finally:
        await model.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/v1",
        "https://127.0.0.1:9/v1",
        "https://localhost:9/v1",
        "https://[::1]:9/v1",
        "https://[::ffff:127.0.0.1]:9/v1",
        "https://10.0.0.5/v1",
        "https://192.168.1.1/v1",
        "https://[fd00::1]/v1",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/v1",
        "https://0.0.0.0/v1",
        "https://2130706433/v1",
        "https://0x7f.1/v1",
        "https://100.64.0.1/v1",
    ],
)
async def test_a_tenants_address_never_leads_inside(url: str) -> None:
    """Loopback, private, shared, link-local and metadata addresses, however they are spelled."""
    with pytest.raises((Forbidden, InvalidInput)):
        await ask(url)


async def test_a_local_provider_is_not_for_tenants() -> None:
    """Not even at the address that Quorate itself knows for it."""
    with pytest.raises(Forbidden, match="no operator named it"):
        await ask("", name="ollama:qwen3:8b")


async def test_the_same_address_is_reached_where_an_operator_wrote_it() -> None:
    """What is refused is the tenant's word, not the address."""
    async with provider_server(["hello"]) as server:
        target = find_target("openai:gpt-5.2", credentials=KEYS.get, base_urls={"openai": server.url})
        model = RemoteModel(target, credentials=KEYS.get)
        reply = await model.complete(REQUEST)
        await model.aclose()
    assert reply.message.text == "hello"
