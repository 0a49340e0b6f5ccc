"""Is the address of a bus taken apart so that its login is kept, and never shown?"""

from pathlib import Path

import pytest

from quorate.errors import Forbidden, InvalidFiles, InvalidInput
from quorate.runtime.fleet import find_bus
from quorate.security.secrets import Secret
from quorate.settings import Settings, load_settings, read_settings
from quorate.settings.load import list_rows
from quorate.settings.values import BusSettings

PASSWORD = "p/ss@word"
URL = "nats://ada:p%2Fss%40word@10.0.0.1:4222"


def test_the_password_of_a_bus_is_shown_nowhere(tmp_path: Path) -> None:
    """It is taken out of the address at once, is among the secrets, and is put into the login."""
    loaded = read_settings(tmp_path, {"QUORATE_BUS_URL": f"{URL}, nats://ada:p%2Fss%40word@[fd00::1]"})
    settings = loaded.settings
    assert settings.bus.url == "nats://ada@10.0.0.1:4222,nats://ada@[fd00::1]"
    assert PASSWORD in [secret.reveal() for secret in settings.list_secrets()]
    assert "ss%40word" not in f"{settings!r} {list_rows(loaded)}"
    assert PASSWORD not in f"{settings!r} {list_rows(loaded)}"
    servers, login, tls = find_bus(settings)
    assert servers == ["nats://10.0.0.1:4222", "nats://[fd00::1]"]
    assert (login.user, login.password, login.kind, tls) == ("ada", PASSWORD, "user", None)


def test_settings_built_in_python_may_hold_the_password_in_the_address() -> None:
    """As with a database."""
    servers, login, _ = find_bus(Settings(bus=BusSettings(url=URL)))
    assert (servers, login.user, login.password) == (["nats://10.0.0.1:4222"], "ada", PASSWORD)


def test_both_spellings_of_the_variable_do(tmp_path: Path) -> None:
    """The one with two underscores, which all settings have, wins; an empty one means no bus."""
    both = {"QUORATE_BUS_URL": "nats://localhost:1", "QUORATE_BUS__URL": "nats://localhost:2"}
    assert load_settings(tmp_path, both).bus.url == "nats://localhost:2"
    assert load_settings(tmp_path, {"QUORATE_BUS__URL": ""}).bus.url == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats.internal:4222", "it is no URL of a NATS server; write one such as `nats://user@host:4222`"),
        ("http://secret@nats.internal", "it is no URL of a NATS server"),
        ("nats://", "it is no URL of a NATS server"),
        ("nats://ada:secret/x@h:1", "it is no URL of a NATS server"),
        ("nats://h:70000", "it is no URL of a NATS server"),
        ("nats://h,", "it is no URL of a NATS server"),
        ("nats://secret@h", "its login has no password; write `nats://user:password@host`, or set `bus.token`"),
        ("nats://a:secret@h,nats://b:secret@h", "its servers have several logins"),
    ],
)
def test_an_address_that_is_none_is_a_fault(tmp_path: Path, url: str, said: str) -> None:
    """It is not repeated, since it may hold a password."""
    with pytest.raises(InvalidFiles) as caught:
        load_settings(tmp_path, {"QUORATE_BUS_URL": url})
    (fault,) = caught.value.faults
    assert fault.startswith("environment: `QUORATE_BUS_URL`: ")
    assert said in fault
    assert "secret" not in fault


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TENANT", "a.b", "is not an identifier"),
        ("PRINCIPAL", "*", "is not an identifier"),
        ("CA_FILE", "nowhere.pem", "there is no file"),
        ("TOKEN", "two words", "holds a space"),
    ],
)
def test_what_goes_with_it_is_checked(tmp_path: Path, name: str, value: str, said: str) -> None:
    """Each with the variable it came from."""
    with pytest.raises(InvalidFiles, match=said):
        load_settings(tmp_path, {f"QUORATE_BUS__{name}": value})


def test_nobody_may_be_anonymous_on_another_machine() -> None:
    """Nor may somebody be two people at once; both are known before anything is connected to."""
    with pytest.raises(Forbidden, match="anonymous"):
        find_bus(Settings(bus=BusSettings(url="tls://nats.internal")))
    with pytest.raises(InvalidInput, match="user and token at once"):
        find_bus(Settings(bus=BusSettings(url=URL, token=Secret("t"))))
    found = find_bus(Settings(bus=BusSettings(url="tls://nats.internal", nkey_file="us.nk", ca_file="ca.pem")))
    assert found[1].kind == "nkey_file"
    assert found[2] is not None
    assert found[2].ca_file == "ca.pem"
    assert found[2].cert_file is None
