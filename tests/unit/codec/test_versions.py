"""Are messages of other versions read, led to today's, or refused?"""

import msgspec
import pytest

from quorate.codec.envelope import Envelope, open_body, seal, unseal
from quorate.codec.formats import CODECS, find_codec
from quorate.codec.migrate import Fields, Migration, Migrations
from quorate.codec.schemas.agents import AgentMessage
from quorate.errors import Conflict, Forbidden, InvalidInput

OLD = {"id": "m-1", "from": "scout", "content": "It is slow."}
"""A letter as version 0.9 had it."""


def rename(fields: Fields) -> Fields:
    return {"id": fields["id"], "sender": fields["from"], "text": fields["content"]}


def take_apart(fields: Fields) -> Fields:
    return {"id": fields["id"], "sender": fields["sender"], "parts": [{"type": "text", "text": fields["text"]}]}


STEPS = Migrations([
    Migration(kind="agent_message", version="0.9", to="0.10", change=rename),
    Migration(kind="agent_message", version="0.10", to="1.0", change=take_apart),
])  # fmt: skip


def build(version: str = "1.0", tenant: str = "acme") -> Envelope:
    return Envelope(id="e-1", kind="agent_message", tenant=tenant, time=1.0, version=version)


@pytest.mark.parametrize("format_", ["json", "msgpack"])
def test_an_old_message_is_led_to_the_version_of_today(format_: str) -> None:
    """Bytes of 0.9 become a 1.0 through registered migrations, step by step. row: A7"""
    codec = find_codec(format_)
    envelope = unseal(seal(build("0.9"), OLD, codec=codec), tenant="acme", codec=codec, migrations=STEPS)
    letter = open_body(envelope, AgentMessage, migrations=STEPS)
    assert (letter.sender, letter.parts[0].text) == ("scout", "It is slow.")  # type: ignore[union-attr]


@pytest.mark.parametrize("format_", ["json", "msgpack"])
def test_a_newer_minor_version_is_read_and_a_newer_major_one_refused(format_: str) -> None:
    """What a newer version added is passed over. row: A7"""
    codec = find_codec(format_)
    newer = {"id": "m-1", "sender": "scout", "urgency": 3}
    envelope = unseal(seal(build("1.7"), newer, codec=codec), tenant="acme", codec=codec)
    assert open_body(envelope, AgentMessage) == AgentMessage(id="m-1", sender="scout")
    with pytest.raises(InvalidInput, match=r"version '2.0'; this version reads 1.x"):
        unseal(seal(build("2.0"), newer, codec=codec), tenant="acme", codec=codec, migrations=STEPS)


@pytest.mark.parametrize("format_", sorted(CODECS))
def test_an_envelope_of_another_tenant_is_refused_in_every_format(format_: str) -> None:
    """It is not opened under another name. row: A7"""
    codec = find_codec(format_)
    data = seal(build(tenant="acme"), AgentMessage(id="m", sender="s"), codec=codec)
    assert open_body(unseal(data, tenant="acme", codec=codec), AgentMessage).sender == "s"
    with pytest.raises(Forbidden, match="'e-1' belongs to another tenant"):
        unseal(data, tenant="other", codec=codec)


def test_what_a_migration_leaves_wrong_is_said() -> None:
    steps = Migrations([Migration(kind="agent_message", version="0.9", to="1.0", change=lambda fields: {"id": 1})])
    envelope = unseal(seal(build("0.9"), OLD), tenant="acme", migrations=steps)
    with pytest.raises(InvalidInput, match=r"does not fit after its migration to '1.0': Expected `str`, got `int`"):
        open_body(envelope, AgentMessage, migrations=steps)


def test_migrations_in_a_circle_and_twice_are_refused() -> None:
    one = Migration(kind="k", version="0.1", to="0.2", change=dict)
    back = Migration(kind="k", version="0.2", to="0.1", change=dict)
    with pytest.raises(InvalidInput, match="go in a circle"):
        Migrations([one, back]).lead("k", "0.1", {}, dict)
    with pytest.raises(Conflict, match=r"two migrations of 'k' from version '0.1'"):
        Migrations([one, one])


def test_a_version_that_no_step_leads_from_is_refused() -> None:
    envelope = msgspec.structs.replace(build("0.9"), body=msgspec.Raw(b"{}"))
    with pytest.raises(InvalidInput, match="no migration leads from there"):
        open_body(envelope, AgentMessage)
