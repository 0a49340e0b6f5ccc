"""Does a setting's value make sense, and what should be written where it does not?"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from quorate.errors import InvalidInput
from quorate.ids import check_id
from quorate.models.addresses import check_base_url, is_loopback_name
from quorate.models.facts import list_providers, unknown_provider
from quorate.security.issuers import Issuer, check_issuers
from quorate.security.secrets import KeptSecret, Secret
from quorate.settings.keys import KeyPath

KEYLESS_MODELS = ("auto", "playbook")
TARGET_WORDS = ("loopback", "private", "public")
REACH_WORDS = ("loopback", "private")
LEAST_KEY_CHARACTERS = 16
LEAST_PEPPER_BYTES = 32
POSTGRES = ("postgresql", "postgres")
"""Schemes of the URLs of PostgreSQL databases."""
BUSES = ("nats", "tls")
"""Schemes of the URLs of NATS servers."""
SHOWN = frozenset({"password", "sslpassword"})
"""Secrets that an address may hold where nothing takes them out."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
_PATTERN = re.compile(r"[a-z0-9*?\[\]!-]{1,63}")
_PLACEHOLDER = re.compile(r"change.?me|your.?(api.?)?key|example|placeholder|secret|password|x{4,}|\.\.\.|<.*>", re.I)
NEVER = tuple(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"))
"""Link-local and metadata addresses."""


def check_value(path: KeyPath, value: object, *, base: str) -> object:
    """Return a value as it is used: paths absolute, names checked.

    Raises:
        InvalidInput: It makes no sense; the message says what to write.
    """
    check = _CHECKS.get(path)
    is_unset = value in (None, ()) or (value == "" and path in _MAY_BE_EMPTY)
    return value if check is None or is_unset else check(value, base)


def check_key_strength(key: Secret | None, *, base_url: str) -> str:
    """Say what is wrong with a model key that is to be used for real; empty when nothing is.

    A server on this machine may take any key.
    """
    if (
        key is None
        or (isinstance(key, KeptSecret) and not key.is_known)
        or (base_url and is_loopback_name(urlsplit(base_url).hostname or ""))
    ):
        return ""
    text = key.reveal()
    if len(text) < LEAST_KEY_CHARACTERS:
        return f"the key has {len(text)} characters, and real ones at least {LEAST_KEY_CHARACTERS}; write the real one"
    if _PLACEHOLDER.search(text):
        return "the key is a placeholder; write the real one"
    return ""


def _check_database(value: object, base: str) -> str:
    text = str(value)
    for prefix in ("sqlite:///", "sqlite:"):
        if text.startswith(prefix):
            # As in other URLs of SQLite, a fourth slash begins an absolute path.
            text = text.removeprefix(prefix)
            break
    scheme = _SCHEME.match(text)
    if scheme and scheme[1] in POSTGRES:
        return _check_server(text)
    if scheme:
        raise InvalidInput(
            f"`{scheme[1]}:` databases are not supported; write the path of an SQLite file, or `postgresql://host/name`"
        )
    return _resolve(text, base)


def _check_server(text: str) -> str:
    try:
        parts = urlsplit(text)
        # A `/`, `?` or `#` in a password that is not written as `%2F` … would make something else of the address.
        is_right = text.startswith(f"{parts.scheme}://") and parts.port != 0 and "@" not in parts.path
    except ValueError:
        is_right, parts = False, urlsplit("")
    if not is_right or not parts.path.strip("/"):
        # The URL may hold a password, so it is not repeated.
        raise InvalidInput(
            "it is no URL of a PostgreSQL database; write one such as `postgresql://user@host:5432/name`"
        )
    if SHOWN & parse_qs(parts.query, keep_blank_values=True).keys():
        raise InvalidInput(
            "a password behind the `?` would be shown; write it before the `@`: `postgresql://user:password@host/name`"
        )
    return text


def split_password(url: str) -> tuple[str, str | None]:
    """Take the password out of a database's URL, so that the URL can be shown."""
    parts = urlsplit(url) if url.startswith(tuple(f"{scheme}://" for scheme in POSTGRES)) else urlsplit("")
    place, at, host = parts.netloc.rpartition("@")
    user, has_password, password = place.partition(":")
    if not (at and has_password):
        return url, None
    return parts._replace(netloc=f"{user}@{host}").geturl(), unquote(password)


def split_bus_login(urls: str) -> tuple[list[str], str | None, str | None]:
    """Take the login out of the URL of a bus; return the servers, the user and the password.

    Raises:
        InvalidInput: One is no such URL, or they hold several logins; the message does not repeat them.
    """
    servers = list[str]()
    logins = set[tuple[str, str | None]]()
    for url in urls.split(","):
        try:
            parts = urlsplit(url.strip())
            # As for a database: what a password with a `/` in it makes of an address is no address.
            is_right = parts.scheme in BUSES and bool(parts.hostname) and parts.port != 0
            is_right = is_right and not (parts.path.strip("/") or parts.query or parts.fragment)
        except ValueError:
            is_right, parts = False, urlsplit("")
        if not is_right:
            raise InvalidInput("it is no URL of a NATS server; write one such as `nats://user@host:4222`")
        place, _, host = parts.netloc.rpartition("@")
        servers.append(f"{parts.scheme}://{host}")
        if place:
            name, has_password, secret = place.partition(":")
            logins.add((unquote(name), unquote(secret) if has_password else None))
    if len(logins) > 1:
        raise InvalidInput("its servers have several logins; write the same one for all of them")
    user, password = logins.pop() if logins else (None, None)
    return servers, user, password


def split_bus_password(urls: str) -> tuple[str, str | None]:
    """Take the password out of the URL of a bus, so that the URL can be shown."""
    if not urls:
        return urls, None
    servers, user, password = split_bus_login(urls)
    if user is None:
        return ",".join(servers), None
    return ",".join(server.replace("://", f"://{quote(user, safe='')}@", 1) for server in servers), password


def _check_bus(value: object, _: str) -> str:
    text = str(value)
    user, secret = split_bus_login(text)[1:]
    if user is not None and secret is None:
        # NATS takes that for a token, which would be shown.
        raise InvalidInput("its login has no password; write `nats://user:password@host`, or set `bus.token`")
    return text


def _check_id(value: object, _: str) -> str:
    try:
        return check_id(str(value), "name")
    except InvalidInput as error:
        raise InvalidInput(error.message.rstrip(".")) from error


def _check_artifacts(value: object, base: str) -> str:
    text = str(value)
    scheme = _SCHEME.match(text)
    if scheme and scheme[1] != "s3":
        raise InvalidInput(f"`{scheme[1]}:` is no place for artifacts; write a directory, or `s3://bucket/prefix`")
    return text if scheme else _resolve(text, base)


def _check_directory(value: object, base: str) -> str:
    path = _resolve(str(value), base)
    if not os.path.isdir(path):
        raise InvalidInput(f"there is no directory {path!r}; create it, or write another")
    return path


def _check_file(value: object, base: str) -> str:
    path = _resolve(str(value), base)
    if not os.path.isfile(path):
        raise InvalidInput(f"there is no file {path!r}; create it, or write another")
    return path


def _check_directories(value: object, base: str) -> tuple[str, ...]:
    return tuple(_check_directory(item, base) for item in cast("tuple[str, ...]", value))


def _resolve(text: str, base: str) -> str:
    if not text.strip() or "\0" in text:
        raise InvalidInput(f"{text!r} is no path; write one such as `data/quorate.db`")
    return os.path.abspath(os.path.join(base, os.path.expanduser(text)))


def check_model(text: str, *, has_gateway: bool) -> None:
    """Check that a model can be found; with a gateway file, a single word may be one of its aliases and routes.

    Raises:
        InvalidInput: It cannot.
    """
    provider, colon, name = text.partition(":")
    is_word = has_gateway and text and not colon
    if text in KEYLESS_MODELS or is_word:
        return
    if not colon or not name or not provider:
        raise InvalidInput(f"{text!r} is no model; write `provider:model`, `playbook`, or `auto`")
    if not has_gateway and provider not in list_providers():
        raise unknown_provider(provider, list_providers())


def _check_url(value: object, _: str) -> str:
    text = str(value)
    try:
        check_base_url(text, what="it")
    except InvalidInput as error:
        raise InvalidInput(error.message.rstrip(".")) from error
    return text.rstrip("/")


def _check_key(value: object, _: str) -> Secret:
    key = cast("Secret", value)
    text = key.reveal().strip()
    if not text or re.search(r"[^!-~]", text):
        raise InvalidInput("the key is empty, or holds a space or a character no key has; write the key alone")
    return Secret(text)


def _check_targets(value: object, _: str) -> tuple[str, ...]:
    items = cast("tuple[str, ...]", value)
    if wrong := [said for item in items if item not in TARGET_WORDS and (said := _find_target_fault(item))]:
        raise InvalidInput("; ".join(wrong))
    return items


def _find_target_fault(item: str) -> str:
    known = ", ".join(f"`{word}`" for word in TARGET_WORDS)
    try:
        network = ipaddress.ip_network(item, strict=False)
    except ValueError:
        looks_numeric = re.fullmatch(r"[0-9a-fA-Fx:./]*[0-9][0-9a-fA-Fx:./]*", item) is not None
        if looks_numeric or not _HOST.fullmatch(item):
            return f"{item!r} is no target; write {known}, a host name, an address or a network"
        return ""
    if any(network.version == never.version and network.subnet_of(never) for never in NEVER):  # pyright: ignore[reportArgumentType]
        return f"{item!r} is link-local or metadata, which is never reached; take it out"
    return ""


def _check_reach(value: object, _: str) -> tuple[str, ...]:
    items = cast("tuple[str, ...]", value)
    for item in items:
        if item in REACH_WORDS:
            continue
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            raise InvalidInput(f"{item!r} is no place; write `loopback`, `private`, an address or a network") from error
        if any(network.version == never.version and network.subnet_of(never) for never in NEVER):  # pyright: ignore[reportArgumentType]
            raise InvalidInput(f"{item!r} is link-local or metadata, which is never reached; take it out")
    return items


def _check_proxies(value: object, _: str) -> tuple[str, ...]:
    items = cast("tuple[str, ...]", value)
    for item in items:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError as error:
            raise InvalidInput(f"{item!r} is no address of a proxy; write one such as `10.0.0.5`") from error
    return items


def _check_patterns(value: object, _: str) -> tuple[str, ...]:
    items = cast("tuple[str, ...]", value)
    for item in items:
        if not _PATTERN.fullmatch(item):
            raise InvalidInput(f"{item!r} is no agent's name or glob; write one such as `host*`")
    return items


def _check_names(value: object, _: str) -> tuple[str, ...]:
    return tuple(check_id(item, "capability") for item in cast("tuple[str, ...]", value))


def _check_pepper(value: object, _: str) -> Secret:
    text = cast("Secret", value).reveal().strip()
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        # The cause would show the value.
        raise InvalidInput("it is not in hexadecimal; write what `openssl rand -hex 32` writes") from None
    if len(raw) < LEAST_PEPPER_BYTES or len(set(raw)) < LEAST_PEPPER_BYTES // 4:
        raise InvalidInput("it is too short or too regular; write what `openssl rand -hex 32` writes")
    return Secret(text)


def _check_tokens(value: object, _: str) -> tuple[Issuer, ...]:
    issuers = cast("tuple[Issuer, ...]", value)
    try:
        check_issuers(issuers)
    except InvalidInput as error:
        raise InvalidInput(error.message.rstrip(".")) from error
    return issuers


def _check_credentials(value: object, _: str) -> dict[str, Secret]:
    table = cast("dict[str, Secret]", value)
    if wrong := [name for name in table if not _VARIABLE.fullmatch(name)]:
        raise InvalidInput(f"{wrong[0][:80]!r} is no name of a variable; write one such as `GROQ_API_KEY`")
    return table


_MAY_BE_EMPTY: tuple[KeyPath, ...] = (
    ("database",),
    ("gateway",),
    ("workspace",),
    ("openai", "base_url"),
    ("artifacts", "store"),
    ("bus", "url"),
    ("bus", "credentials_file"),
    ("bus", "nkey_file"),
    ("bus", "ca_file"),
    ("bus", "cert_file"),
    ("bus", "key_file"),
    ("server", "operator_tenant"),
    ("secrets", "vault_url"),
    ("telemetry", "objectives"),
)
"""Where nothing stands for the default."""
_CHECKS: Mapping[KeyPath, Callable[[object, str], object]] = {
    ("database",): _check_database,
    ("artifacts", "store"): _check_artifacts,
    ("gateway",): _check_file,
    ("workspace",): _check_directory,
    ("openai", "base_url"): _check_url,
    ("openai", "api_key"): _check_key,
    ("probe", "allow"): _check_targets,
    ("webhooks", "allow"): _check_reach,
    ("council", "secret"): _check_pepper,
    ("council", "former_secret"): _check_pepper,
    ("server", "secret"): _check_pepper,
    ("server", "former_secret"): _check_pepper,
    ("server", "issuers"): _check_tokens,
    ("secrets", "credentials"): _check_credentials,
    ("secrets", "vault_url"): _check_url,
    ("secrets", "vault_token"): _check_key,
    ("agents", "directories"): _check_directories,
    ("agents", "workflows"): _check_directories,
    ("agents", "index"): lambda value, base: _resolve(str(value), base),
    ("worker", "agents"): _check_patterns,
    ("worker", "capabilities"): _check_names,
    ("bus", "url"): _check_bus,
    ("bus", "token"): _check_key,
    ("telemetry", "objectives"): _check_file,
    ("bus", "credentials_file"): _check_file,
    ("bus", "nkey_file"): _check_file,
    ("bus", "ca_file"): _check_file,
    ("bus", "cert_file"): _check_file,
    ("bus", "key_file"): _check_file,
    ("bus", "tenant"): _check_id,
    ("bus", "principal"): _check_id,
    ("server", "operator_tenant"): _check_id,
    ("server", "proxies"): _check_proxies,
}
