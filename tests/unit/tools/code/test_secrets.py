"""Secrets in code are found and never shown. row: B1"""

import pytest

from quorate.tools.builtin.code.secrets import entropy_bits, find_secrets, redact

# Put together here, so that no scanner takes this file for a leak.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
MODEL = "sk-" + "proj-Abcd1234Efgh5678Ijkl9012"
GITHUB = "ghp_" + "a1B2c3D4e5" * 4


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f'KEY = "{AWS}"', AWS),
        (f"# old: {MODEL}", MODEL),
        (f"curl -H 'Authorization: Bearer {GITHUB[:40]}'", GITHUB[:40]),
        ('password = "hunter2!"', "hunter2!"),
        ("  'db_password': 'tr0ub4dor',", "tr0ub4dor"),
        ('connect(user="bob", passwd="s3same")', "s3same"),
        ('const apiKey = "9f8e7d6c5b4a39281706f5e4d3c2b1a0";', "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
        ('self.secret_key: str = "dj4ng0-s3cr3t-v4lu3"', "dj4ng0-s3cr3t-v4lu3"),
        ('URL = "postgres://admin:s3cretpw@db/x"', "s3cretpw"),
        ('settings["API_TOKEN"] = "0a1b2c3d4e5f6a7b8c9d"', "0a1b2c3d4e5f6a7b8c9d"),
        ("-----BEGIN RSA PRIVATE " + "KEY-----", "-----BEGIN RSA PRIVATE " + "KEY-----"),
    ],
)
def test_a_planted_secret_is_found_and_blotted_out(line: str, secret: str) -> None:
    """The evidence never holds the whole secret. row: B1"""
    (found,) = find_secrets(line)
    assert line[found.start : found.end] == secret
    assert secret not in redact(line)
    assert "***" in redact(line)


@pytest.mark.parametrize(
    "line",
    [
        'password = ""',
        'password = os.environ["PASSWORD"]',
        'password = "${DB_PASSWORD}"',
        'password = "changeme-please"',
        'password = "<your password>"',
        'prompt = "Enter password:"',
        'token_url = "https://example.com/token"',
        'TOKEN_TYPE = "bearer"',
        'token_header = "X-Auth-Token"',
        'key = f"{tenant}/{number}"',
        'sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
        "def check(password: str) -> bool:",
    ],
)
def test_what_only_looks_like_one_is_left_alone(line: str) -> None:
    assert find_secrets(line) == []
    assert redact(line) == line


def test_settings_files_need_no_quotes() -> None:
    assert find_secrets("  password: Sup3rS3cret!", is_plain=True)
    assert find_secrets("export API_TOKEN=0a1b2c3d4e5f6a7b8c9d", is_plain=True)
    assert not find_secrets("  password: ${PASSWORD}", is_plain=True)
    assert not find_secrets("  password: Sup3rS3cret!")


def test_several_secrets_in_one_line_are_all_blotted_out() -> None:
    shown = redact(f'a = "{AWS}"; b = "{MODEL}"; password = "hunter2!"')
    assert AWS not in shown
    assert MODEL not in shown
    assert "hunter2" not in shown


def test_long_lines_are_cut_and_quick() -> None:
    assert len(redact("x = 1 # " + "a" * 100_000)) <= 160
    for line in ('password = "' * 3000, "a" * 100_000 + "://:", "eyJ" * 20_000, "[" * 50_000, "=" * 50_000):
        find_secrets(line, is_plain=True)


def test_entropy() -> None:
    assert entropy_bits("aaaa") == 0.0
    assert entropy_bits("abcd") == 2.0
