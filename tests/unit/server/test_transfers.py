"""Are transfers bounded, and do they end with their credential?"""

from __future__ import annotations

import pytest

from quorate.errors import Forbidden, RateLimited, Unauthenticated, Unavailable
from quorate.server.transfers import Checked, Transfers


def test_a_tenant_has_so_many_and_all_of_them_so_many() -> None:
    """part of row C12"""
    transfers = Transfers(each=2, all=3)
    with transfers.take("acme"), transfers.take("acme"):
        with pytest.raises(RateLimited, match="There are 2"), transfers.take("acme"):
            raise AssertionError
        with transfers.take("globex"):
            with pytest.raises(RateLimited, match="too many"), transfers.take("initech"):
                raise AssertionError
            assert len(transfers) == 3
    assert len(transfers) == 0


async def test_a_transfer_ends_with_its_credential() -> None:
    """Where nobody can be asked, whoever was let in stays. part of row C12"""
    answers: list[Exception | None] = [None, Unavailable("away"), Unauthenticated("revoked"), Forbidden("suspended")]

    async def identify() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    checked = Checked(identify, every_s=0)
    await checked.check()
    await checked.check()
    for kind in (Unauthenticated, Forbidden):
        with pytest.raises(kind):
            await checked.check()
    assert answers == []
    await Checked(identify, every_s=1e6).check()  # it is not asked all the time
