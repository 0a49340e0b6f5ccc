"""Can a model be asked from here, and what must be set or installed where it cannot?"""

from __future__ import annotations

from msgspec import Struct

from quorate.errors import QuorateError
from quorate.models.credentials import Credentials
from quorate.models.deadlines import TIMEOUTS
from quorate.models.facts import PLACE, Provider
from quorate.models.grants import check_credential
from quorate.models.pooled import PoolRule, choose_names
from quorate.models.providers import find_dialect
from quorate.models.remote import RemoteModel
from quorate.models.target import Sending, Target
from quorate.models.upstream import build_remote


class Variable(Struct, frozen=True, kw_only=True):
    """An environment name that a provider reads."""

    name: str
    purpose: str
    is_set: bool


def list_variables(
    provider: Provider, credentials: Credentials, *, pool: PoolRule | None = None
) -> tuple[Variable, ...]:
    """List what a provider reads, in the order it is asked for; values are not shown."""
    token = "token instead of a key" if provider.key_env else "key, where the server wants one"
    named = [
        (provider.key_env, "key"),
        (provider.token_env, token),
        (provider.file_env, "key file that a token is fetched with"),
    ]
    if pool is not None:
        keys = [name for key in pool.keys for name in (key.values() if isinstance(key, dict) else (key,))]
        named = [(name, "key of the pool") for name in keys]
    places = [name for place in PLACE.findall(provider.base_url) for name in place.split("|")]
    named += [(name, "part of the address") for name in dict.fromkeys(places)]
    named += [(provider.base_url_env, "address instead of the usual one")]
    return tuple(
        Variable(name=name, purpose=purpose, is_set=bool((credentials(name) or "").strip()))
        for name, purpose in named
        if name
    )


def find_lack(target: Target, credentials: Credentials, *, now: float, pool: PoolRule | None = None) -> str:
    """Say what keeps a model from being asked, as the call itself would; nothing when it can be.

    Nothing is sent: a credential that is there may still be refused. Of a pool, one that is there is enough.
    """
    if pool is None:
        return _find_lack(target, credentials, now)
    key_env = target.provider.key_env
    lacks = [_find_lack(target, choose_names(credentials, key_env, key), now) for key in pool.keys]
    return "" if "" in lacks else f"no credential of its pool is there: {lacks[0]}"


def _find_lack(target: Target, credentials: Credentials, now: float) -> str:
    provider = target.provider
    try:
        check_credential(target, credentials)
        asked = build_remote(target, credentials=credentials, timeouts=TIMEOUTS)
        # A key file stands for a token that is fetched at the first call.
        is_fetched = provider.file_env and provider.key_env and not credentials(provider.key_env)
        if isinstance(asked, RemoteModel) and not is_fetched:
            find_dialect(provider).sign(Sending(url=target.base_url), target, credentials=credentials, now=now)
    except QuorateError as error:
        return error.message
    return ""
