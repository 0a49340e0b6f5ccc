"""Is each setting of a NATS server that does not do named, with what to set?"""

from quorate.bus.backends._nats_check import (
    Account,
    AccountLimits,
    StoreConfig,
    StoreData,
    find_config_faults,
    find_limit_faults,
    find_version_faults,
)
from quorate.ports.bus import StreamRule

TASKS = StreamRule(name="tasks", subjects=("ai.t.>",), kind="work", max_bytes=100)
EVENTS = StreamRule(name="events", subjects=("ai.e.>",), kind="events", max_bytes=50, replicas=3)
RULES = (TASKS, EVENTS)


def test_versions_that_lose_nothing_we_know_of() -> None:
    """The first good patch of each line; lines in between have none, and newer ones are good."""
    for good in ("2.12.12", "2.12.30", "2.14.3", "2.15.0", "3.0.0", "2.14.3-beta.1"):
        assert find_version_faults(good) == [], good
    for bad in ("2.12.11", "2.13.99", "2.14.2", "2.10.0", "1.4.1"):
        assert "use 2.14.3 or later" in find_version_faults(bad)[0], bad
    for none in ("", "two", "2.x.1"):
        assert "is not one" in find_version_faults(none)[0], none


def test_bounds_of_an_account_are_compared() -> None:
    """No bound is none; each one that has no room is named, and so is an account with no disk."""
    assert find_limit_faults(Account(), RULES) == []
    roomy = AccountLimits(max_storage=150, max_streams=2, max_consumers=2)
    assert find_limit_faults(Account(limits=roomy), RULES) == []
    tight = AccountLimits(max_storage=149, max_streams=1, max_consumers=1)
    faults = find_limit_faults(Account(limits=tight), RULES)
    assert [fault.split("` is")[0] for fault in faults] == [
        "the account's `max_file",
        "the account's `max_streams",
        "the account's `max_consumers",
    ]
    faults = find_limit_faults(Account(limits=AccountLimits(max_storage=0)), RULES)
    assert faults == ["the account's `max_file` is 0, so that streams would be in memory only: set it"]


def test_how_a_server_stores_is_compared() -> None:
    """Off, not on disk when it is confirmed, too small for all replicas, where a start of the machine empties it."""
    good = StoreConfig(store_dir="/var/lib/nats/jetstream", max_storage=250, sync_always=True)
    assert find_config_faults(StoreData(config=good), RULES) == []
    for off in (StoreData(), StoreData(disabled=True, config=good)):
        assert "JetStream is off" in find_config_faults(off, RULES)[0]
    bad = StoreConfig(store_dir="/tmp/nats/jetstream", max_storage=249, sync_interval=120_000_000_000)
    faults = find_config_faults(StoreData(config=bad), RULES)
    assert [fault.split("` is")[0] for fault in faults] == ["`sync_interval", "`max_file_store", "`store_dir"]
    lazy = StoreConfig(store_dir="/data", max_storage=250, sync_interval=1)
    assert find_config_faults(StoreData(config=lazy), (EVENTS,)) == [], "what happened may be lost with the power"
