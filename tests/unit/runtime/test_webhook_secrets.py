"""Are the secrets of webhooks kept so that they sign, and nobody sees them?"""

import msgspec
import pytest
from msgspec import structs

from quorate.errors import CorruptState
from quorate.runtime.webhooks import Webhook
from quorate.runtime.webhooks.records import Record, Records, Safe
from quorate.security.secrets import Secret
from quorate.security.webhooks import new_webhook_secret
from quorate.settings import Settings
from quorate.settings.values import ArtifactSettings
from quorate.state.artifacts.keys import new_key
from quorate.state.backends.memory import open_memory_store

HOOK = Webhook(id="hook", url="https://hooks.example.com/")


def open_safe(*keys: str) -> Safe:
    given = Secret(",".join(keys)) if keys else None
    return Safe.of(Settings(artifacts=ArtifactSettings(keys=given)))


@pytest.mark.parametrize("is_sealed", [True, False])
async def test_a_secret_comes_back_as_it_was(is_sealed: bool) -> None:
    """Encrypted where there are keys, and in no text form either way."""
    safe, secret = open_safe(*([f"one:{new_key()}"] if is_sealed else [])), new_webhook_secret()
    async with open_memory_store() as store:
        records = Records(store.values)
        put = await records.put(Record(webhook=HOOK, secrets=(safe.close(HOOK, secret),)))
        found = await records.get("default", "hook")
        assert found == put
        assert safe.open_all(found, now=0.0) == [secret]
        assert found.is_sealed is is_sealed
        for shown in (repr(found), repr(found.secrets), str(found), f"{found.secrets[0]}"):
            assert secret.reveal() not in shown
            assert repr(found.secrets[0].data) not in shown
        (entry,) = await store.values.scan("webhook/")
    kept = msgspec.json.decode(entry.value, type=Record).secrets[0].data
    assert (secret.reveal().encode() in kept) is not is_sealed


def test_a_key_that_was_replaced_still_opens() -> None:
    """New secrets are closed with the newest key."""
    one, two = f"one:{new_key()}", f"two:{new_key()}"
    old, new = new_webhook_secret(), new_webhook_secret()
    kept = open_safe(one).close(HOOK, old)
    both = open_safe(one, two)
    assert (both.open(HOOK, kept), both.open(HOOK, both.close(HOOK, new))) == (old, new)
    assert open_safe(two).open(HOOK, both.close(HOOK, new)) == new


def test_what_was_closed_for_one_webhook_opens_for_no_other() -> None:
    """Nor with another key, without keys, or changed; the message says what to do and shows nothing."""
    key = f"one:{new_key()}"
    safe, secret = open_safe(key), new_webhook_secret()
    kept = safe.close(HOOK, secret)
    changed = structs.replace(kept, data=kept.data[:-1] + bytes([kept.data[-1] ^ 1]))
    others = (
        (safe, structs.replace(HOOK, id="other"), kept),
        (safe, structs.replace(HOOK, tenant="acme"), kept),
        (open_safe(f"one:{new_key()}"), HOOK, kept),
        (open_safe(f"two:{new_key()}"), HOOK, kept),
        (open_safe(), HOOK, kept),
        (safe, HOOK, changed),
        (safe, HOOK, structs.replace(kept, data=kept.data[:20])),
        (safe, HOOK, structs.replace(kept, data=b"")),
        (safe, HOOK, structs.replace(kept, size=1 << 40)),
        (safe, HOOK, structs.replace(kept, is_sealed=False)),
        (safe, HOOK, structs.replace(kept, is_sealed=False, data=b"whsec_short")),
    )
    for opener, hook, given in others:
        with pytest.raises(CorruptState, match=f"quorate webhooks rotate {hook.id}") as caught:
            opener.open(hook, given)
        assert secret.reveal() not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_only_secrets_that_are_not_over_sign() -> None:
    """The newest one, and the one before until its time."""
    safe, new, old = open_safe(), new_webhook_secret(), new_webhook_secret()
    before = structs.replace(safe.close(HOOK, old), until=100.0)
    record = Record(webhook=HOOK, secrets=(safe.close(HOOK, new), before))
    assert safe.open_all(record, now=99.9) == [new, old]
    assert safe.open_all(record, now=100.0) == [new]
    for none in (structs.replace(record, secrets=()), structs.replace(record, secrets=(before,))):
        with pytest.raises(CorruptState, match="has no secret"):
            safe.open_all(none, now=100.0)
