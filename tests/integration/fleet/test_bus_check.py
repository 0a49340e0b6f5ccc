"""Does the look at the machine say whether the bus of the settings can be used?"""

from pathlib import Path

from quorate import Settings
from quorate.cli.checks import check_bus
from quorate.security.secrets import Secret
from quorate.settings import load_settings
from quorate.settings.values import BusSettings
from quorate.testing.nats_server import open_nats_server

LOGIN = 'authorization { user: "ada", password: "p@ss/word" }'


def test_no_bus_is_no_fault() -> None:
    """Workers then look for themselves."""
    found = check_bus(Settings())
    assert (found.status, found.detail[:5]) == ("ok", "none:")


def test_a_bus_is_reached_with_its_login(tmp_path: Path) -> None:
    """With the password that was written in the address, which is not shown; a wrong one is not let in."""
    with open_nats_server(lines=[LOGIN]) as server:
        url = server.url.replace("://", "://ada:p%40ss%2Fword@")
        found = check_bus(load_settings(tmp_path, {"QUORATE_BUS_URL": url}))
        assert found.status == "ok", found
        assert server.url in found.detail
        assert "ss" not in found.detail.replace("lets us in, is set as it must be", "")
        found = check_bus(load_settings(tmp_path, {"QUORATE_BUS_URL": url.replace("word", "wort")}))
        assert found.status == "fault"
        assert "does not let us in: check the login" in found.detail
        assert "wort" not in found.detail
        found = check_bus(Settings(bus=BusSettings(url=server.url, token=Secret("other"))))
        assert found.status == "fault"


def test_a_bus_that_is_not_set_as_it_must_be_is_a_fault() -> None:
    """Every wrong setting is named, and so is the want of JetStream."""
    with open_nats_server(jetstream=False) as server:
        found = check_bus(Settings(bus=BusSettings(url=server.url)))
        assert found.status == "fault"
        assert "JetStream" in found.detail


def test_a_bus_that_is_not_there_is_a_fault() -> None:
    """It says that runs go on all the same, and what to do."""
    with open_nats_server(jetstream=False) as server:
        url = server.url
    found = check_bus(Settings(bus=BusSettings(url=url)))
    assert found.status == "fault"
    assert "cannot be reached" in found.detail
    assert "Runs go on without it" in found.detail
    assert "bus.url" in found.advice
