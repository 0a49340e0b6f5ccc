"""Are the settings of webhooks checked where they are written?"""

from pathlib import Path

import pytest

from quorate.errors import InvalidFiles
from quorate.settings import load_settings


def test_webhooks_are_off_until_somebody_switches_them_on(tmp_path: Path) -> None:
    """Then what happens is noted for them."""
    plain = load_settings(tmp_path, {})
    assert (plain.webhooks.enabled, plain.webhooks.allow, plain.keeps_notices) == (False, (), False)
    (tmp_path / "quorate.toml").write_text(
        '[webhooks]\nenabled = true\nallow = ["loopback", "10.2.0.0/16", "fd12::1"]\n'
    )
    chosen = load_settings(tmp_path, {})
    assert (chosen.webhooks.enabled, chosen.keeps_notices) == (True, True)
    assert chosen.webhooks.allow == ("loopback", "10.2.0.0/16", "fd12::1")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("public", "'public' is no place; write `loopback`, `private`, an address or a network"),
        ("hooks.internal", "'hooks.internal' is no place"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no place"),
        ("169.254.169.254", "'169.254.169.254' is link-local or metadata, which is never reached; take it out"),
        ("fe80::/16", "is link-local or metadata"),
    ],
)
def test_what_cannot_be_allowed_is_a_fault(tmp_path: Path, item: str, said: str) -> None:
    """With the file, the line and what to write."""
    (tmp_path / "quorate.toml").write_text(f'[webhooks]\nallow = ["{item}"]\n')
    with pytest.raises(InvalidFiles) as caught:
        load_settings(tmp_path, {})
    assert said in caught.value.message
    assert "quorate.toml:2" in caught.value.message
