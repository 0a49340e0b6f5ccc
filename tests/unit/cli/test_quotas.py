"""Are quotas read as they are meant on the command line?"""

from __future__ import annotations

import pytest

from quorate.cli.quotas import read_quota
from quorate.errors import InvalidInput
from quorate.security.quotas import Quota, write_amount


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("requests=600/minute", Quota(kind="requests", most=600, per="minute")),
        ("tokens=2M/day", Quota(kind="tokens", most=2_000_000, per="day")),
        ("usd=12.5/month", Quota(kind="usd", most=12.5, per="month")),
        ("runs=10", Quota(kind="runs", most=10, per="now")),
        ("runs=10/now", Quota(kind="runs", most=10, per="now")),
        ("bytes=5G", Quota(kind="bytes", most=5_000_000_000, per="now")),
    ],
)
def test_a_quota_is_read(text: str, quota: Quota) -> None:
    assert read_quota(text) == quota


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("requests=5", "write requests=5/second or requests=5/minute"),
        ("requests=5/year", "does not say in what time"),
        ("storage=5", "is no quota: write it like"),
        ("requests", "is no quota"),
        ("usd=1.2.3/day", "no amount of money"),
        ("tokens=1.5/day", "is not a size"),
        ("requests=-5/day", "is no quota"),
    ],
)
def test_what_is_none_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_quota(text)


@pytest.mark.parametrize(
    ("quota", "text"),
    [
        (Quota(kind="tokens", most=1_234_567, per="day"), "1234567"),
        (Quota(kind="usd", most=0.05, per="day"), "0.05"),
        (Quota(kind="usd", most=50, per="month"), "50"),
        (Quota(kind="usd", most=0, per="month"), "0"),
        (Quota(kind="requests", most=600, per="minute"), "600"),
    ],
)
def test_an_amount_is_written_to_the_last_token(quota: Quota, text: str) -> None:
    """In the audit trail, too, where it says what somebody allowed."""
    assert write_amount(quota) == text
