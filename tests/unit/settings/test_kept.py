"""May a setting say where a secret is, and which identity providers there are, and what is said where it is wrong?"""

import json
from pathlib import Path

import msgspec
import pytest

from quorate.errors import InvalidFiles, InvalidInput
from quorate.security.providers import Place, find_place, read_vault_place
from quorate.security.secrets import KeptSecret, encode_secret
from quorate.settings import load_settings, read_settings
from quorate.settings.load import list_rows

SECRET = "canary-0123456789-abcdef"
ISSUER = {"issuer": "https://id.acme.com", "audience": "quorate", "tenant": "acme", "roles": {"ops": "operator"}}


def write(place: Path, text: str) -> Path:
    (place / "quorate.toml").write_text(text)
    return place


def find_faults(place: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidFiles) as caught:
        load_settings(place, environ or {})
    assert SECRET not in str(caught.value)
    return list(caught.value.faults)


def test_a_place_is_the_whole_of_what_is_written() -> None:
    assert find_place("${file:/run/secrets/key}") == Place(kind="file", name="/run/secrets/key")
    assert str(find_place("${vault:secret/a/b#c}")) == "vault:secret/a/b#c"
    assert find_place("${file:-default}") is None
    assert find_place("x${file:/run/x}") is None
    for wrong in ("secret#x", "secret/a", "secret/../a#x", "secret//a#x", "/secret/a#x", "secret/a#", "secret/a?b#c"):
        with pytest.raises(InvalidInput, match="MOUNT/PATH#FIELD"):
            read_vault_place(wrong)


def test_what_no_secret_can_be_is_told_with_its_place(tmp_path: Path) -> None:
    """part of row C20"""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff" + SECRET.encode())
    (tmp_path / "long").write_text(SECRET * 5_000)
    write(
        tmp_path,
        "database = 'postgresql://us:${file:empty}@db/x'\n"
        "model = '${vault:secret/x#y}'\n"
        "[openai]\napi_key = '${file:gone}'\n"
        "[bus]\ntoken = '${file:empty}'\n"
        "[artifacts]\nkeys = '${file:bytes}'\n"
        "[telemetry]\nheaders = '${file:long}'\n"
        "[server]\nsecret = '${vault:secret}'\n"
        "[secrets.credentials]\ngroq = '${file:empty}'\n",
    )
    assert [fault.partition("; ")[0].replace(str(tmp_path), "") for fault in find_faults(tmp_path)] == [
        "quorate.toml:1: `database`: '${file:empty}' stands for a whole secret",
        "quorate.toml:2: `model`: '${vault:secret/x#y}' stands for a whole secret",
        "quorate.toml:4: `openai.api_key`: There is no file '/gone': create it with the secret in it, or name another",
        "quorate.toml:6: `bus.token`: the file '/empty' is empty",
        "quorate.toml:8: `artifacts.keys`: the file '/bytes' is not UTF-8",
        "quorate.toml:10: `telemetry.headers`: the file '/long' has more than 65536 bytes, which no secret has",
        "quorate.toml:12: `server.secret`: 'secret' is no place in Vault",
        "quorate.toml:13: `secrets.credentials`: the file '/empty' is empty",
    ]


def test_what_does_not_count_here_is_not_read(tmp_path: Path) -> None:
    """The secrets of production need not be on a developer's machine; an empty file in a directory of them is none."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "OPENAI_API_KEY").write_text("")
    write(tmp_path, "[env.prod.openai]\napi_key = '${file:/run/secrets/gone}'\n")
    settings = load_settings(tmp_path, {"QUORATE_SECRETS_DIR": "secrets"})
    assert (settings.openai.api_key, settings.list_kept_secrets()) == (None, ())
    assert "/run/secrets/gone" in find_faults(tmp_path, {"QUORATE_ENV": "prod"})[0]


def test_credentials_have_the_names_of_variables(tmp_path: Path) -> None:
    """What is written here wins over the environment; a table in a variable is JSON."""
    (tmp_path / "groq").write_text(f"{SECRET}\n")
    write(tmp_path, "[secrets.credentials]\nGROQ_API_KEY = '${file:groq}'\nTEAM = '${TEAM_KEY}'\n")
    loaded = read_settings(tmp_path, {"GROQ_API_KEY": "other", "TEAM_KEY": "k"})
    settings = loaded.settings
    assert settings.find_credential("GROQ_API_KEY") == SECRET
    assert settings.find_credential("TEAM") == "k"
    assert SECRET in settings.list_secret_texts()
    assert [secret.place for secret in settings.list_kept_secrets()] == [f"file:{tmp_path / 'groq'}"]
    shown = f"{settings!r}{list_rows(loaded)}{msgspec.json.encode(settings, enc_hook=encode_secret)}"
    assert SECRET not in shown
    assert f"file:{tmp_path / 'groq'}" in shown
    given = json.dumps({"OPENAI_API_KEY": SECRET})
    assert load_settings(tmp_path / "none", {"QUORATE_SECRETS__CREDENTIALS": given}).find_credential(
        "OPENAI_API_KEY"
    ) == SECRET  # fmt: skip
    assert find_faults(tmp_path / "none", {"QUORATE_SECRETS__CREDENTIALS": f'{{"{SECRET}'}) == [
        'environment: `QUORATE_SECRETS__CREDENTIALS`: this is no JSON object; write it like `{"NAME": "value"}`'
    ]
    assert (
        "is no name of a variable" in find_faults(tmp_path / "none", {"QUORATE_SECRETS__CREDENTIALS": '{"x": "y"}'})[0]
    )


def test_issuers_are_tables_and_all_that_is_wrong_with_them_is_told(tmp_path: Path) -> None:
    """part of row C12"""
    write(
        tmp_path,
        "[[server.issuers]]\nissuer = '${WHO}'\naudience = 'quorate'\ntenant = 'acme'\nroles = { ops = 'operator' }\n",
    )
    loaded = read_settings(tmp_path, {"WHO": "https://id.acme.com"})
    assert msgspec.to_builtins(loaded.settings.server.issuers[0]).items() >= ISSUER.items()
    assert ("server.issuers", "https://id.acme.com", "quorate.toml:1") in list_rows(loaded)
    text = json.dumps([ISSUER])
    assert load_settings(tmp_path / "none", {"QUORATE_SERVER__ISSUERS": text}).server.issuers[0].audience == "quorate"
    for wrong, said in {
        "audience = 'x'": "missing required field `issuer` - at `$[0]`; write each of them as a table",
        "issuer = 'https://a'\naudience = 'x'\nsecret = 'x'\n": "unknown field `secret`",
        "issuer = 'https://a'\naudience = 'x'\nroles = { x = 'boss' }\n": "nvalid enum value 'boss'",
        "issuer = 'http://a'\naudience = 'x'\nalgorithms = ['HS256']\n": "3 faults",
    }.items():
        assert said in find_faults(write(tmp_path, f"[[server.issuers]]\n{wrong}"))[0]


def test_a_kept_secret_keeps_what_is_good() -> None:
    def check(text: str) -> str:
        if len(text) < 8:
            raise InvalidInput("too short")
        return text.strip()

    secret = KeptSecret("file:/x", check=check)
    assert (secret.is_known, bool(secret), secret.list_values()) == (False, True, ())
    assert secret.renew(f" {SECRET} ")
    assert not secret.renew(SECRET)
    with pytest.raises(InvalidInput):
        secret.renew("short")
    assert secret.reveal() == SECRET
    assert secret.renew("another-one")
    assert secret.list_values() == ("another-one", SECRET)
    assert hash(secret) == hash(KeptSecret("file:/x"))
    assert secret != KeptSecret("file:/x")
