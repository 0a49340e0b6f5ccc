"""How does a configuration come to be in a folder, and is the one that is there still what the facts say?"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from quorate.bus.accounts.facts import SYSTEM, Facts, list_principals, split_listen
from quorate.bus.accounts.files import hold, is_private, make_folder, read_file, write_new, write_over
from quorate.bus.accounts.keys import SYSTEM_WHO, Key, KeyFolder, Who, name_who
from quorate.bus.accounts.rendering import build_configuration, is_untouched
from quorate.bus.embedded import find_program
from quorate.errors import Conflict, Unavailable, UnknownName

KEYS = "keys"
"""The folder of the keys, in that of the configuration."""
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 what is looked for, not where is listened
TEST_S = 20.0


class Login(Struct, frozen=True, kw_only=True):
    """How somebody who talks on the bus gets in."""

    name: str
    """As commands call it, such as `acme/worker`."""
    role: str
    key_file: str
    has_seed: bool
    """Whether the seed is there, and was not moved to where it is used."""
    is_new: bool
    is_rotating: bool
    """Whether the key before lets in as well."""
    environment: dict[str, str]
    """What a process of this principal sets; empty for who looks after the server."""


class Saved(Struct, frozen=True, kw_only=True):
    """What was written, and for whom."""

    configurations: tuple[str, ...]
    changed: tuple[str, ...]
    """Those of them that are others than before."""
    retired: tuple[str, ...]
    logins: tuple[Login, ...]


def save_configuration(
    facts: Facts,
    folder: Path,
    *,
    rotate: Sequence[str] = (),
    retire: Sequence[str] = (),
    force: bool = False,
) -> Saved:
    """Write a server's configuration and the keys that are missing; keys that are there stay.

    Args:
        facts: What the server and its tenants are.
        folder: Where to.
        rotate: Whose keys are made anew, such as `acme/worker`; the ones before let in as well.
        retire: Whose keys before the last rotation let in no more; with `rotate`, those before this one.
        force: Whether a configuration that is not ours, or was changed by hand, is written over.

    Raises:
        UnknownName: There is no such principal.
        Conflict: A configuration is not ours, or was changed by hand; or a key was rotated and the one before not
            retired.
        InvalidFiles: Keys that are there cannot be used.
        InvalidInput: The folder cannot be written to.
        MissingExtra: What makes keys is not installed.
    """
    folder = folder.absolute()
    everybody = _list_everybody(facts)
    rotated, retired = _find_all(rotate, everybody), _find_all(retire, everybody)
    files = _name_files(facts, folder)
    for file in files.values():
        _check_ours(file, force=force)
    make_folder(folder)
    changed: list[str] = []
    with hold(folder):
        keys = KeyFolder(folder / KEYS)
        done = _change_keys(keys, rotated, retired)
        found = keys.save(everybody)
        for server, file in files.items():
            content = build_configuration(facts, found, folder=folder, server=server).encode()
            if read_file(file) != content:
                if not write_new(file, content):
                    write_over(file, content)
                changed.append(str(file))
    return Saved(
        configurations=tuple(map(str, files.values())),
        changed=tuple(changed),
        retired=tuple(dict.fromkeys(map(name_who, done))),
        logins=tuple(_describe(facts, who, key) for who, key in found.items()),
    )


def find_faults(facts: Facts, folder: Path) -> list[str]:
    """Find why a configuration that is there is not what the facts say, or would not do: every fault at once."""
    folder = folder.absolute()
    everybody = _list_everybody(facts)
    keys = KeyFolder(folder / KEYS)
    faults = sorted(set(keys.find_faults(everybody)))
    if not is_private(folder / KEYS):
        return faults
    found = {} if faults else keys.load(everybody)
    for server, file in _name_files(facts, folder).items():
        content = read_file(file)
        if content is None:
            faults.append(f"{file}: it is not there: run `quorate nats config`")
            continue
        text = content.decode("utf-8", "replace")
        if not is_untouched(text):
            faults.append(f"{file}: it was changed by hand: put the change into the facts, and write it with `--force`")
        elif found and build_configuration(facts, found, folder=folder, server=server) != text:
            faults.append(f"{file}: it is not what the facts and keys say: run `quorate nats config`, and reload it")
        faults += _try_configuration(file)
    return faults


def build_url(facts: Facts) -> str:
    """Build the address at which processes reach the bus; `HOST` stands in it where the facts do not say."""
    scheme = "nats" if facts.tls is None else "tls"
    host, port = split_listen(facts.server.listen)
    if facts.cluster is None:
        hosts = ["HOST" if host in ANYWHERE else host]
    else:
        hosts = [split_listen(place)[0] for place in facts.cluster.servers.values()]
    return ",".join(f"{scheme}://{f'[{one}]' if ':' in one else one}:{port if port > 0 else 'PORT'}" for one in hosts)


def _change_keys(keys: KeyFolder, rotated: Sequence[Who], retired: Sequence[Who]) -> list[Who]:
    """Retire and rotate keys; return whose key of before lets in no more."""
    done = [who for who in retired if keys.retire(who)]
    for who in rotated:
        keys.rotate(who)
        if who in retired and keys.retire(who):
            done.append(who)
    return done


def _describe(facts: Facts, who: Who, key: Key) -> Login:
    tenant, name = who
    environment: dict[str, str] = {}
    if tenant != SYSTEM:
        environment = {
            "QUORATE_BUS_URL": build_url(facts),
            "QUORATE_BUS__TENANT": tenant,
            "QUORATE_BUS__PRINCIPAL": name,
            "QUORATE_BUS__NKEY_FILE": key.seed_file,
        }
        if facts.tls is not None and facts.tls.ca:
            environment["QUORATE_BUS__CA_FILE"] = facts.tls.ca
    return Login(
        name=name_who(who),
        role="system" if tenant == SYSTEM else facts.tenants[tenant].principals[name].role,
        key_file=key.seed_file,
        has_seed=key.has_seed,
        is_new=key.is_new,
        is_rotating=bool(key.previous),
        environment=environment,
    )


def _list_everybody(facts: Facts) -> list[Who]:
    return [SYSTEM_WHO, *list_principals(facts)]


def _find_all(names: Iterable[str], everybody: Sequence[Who]) -> list[Who]:
    known = {name_who(who): who for who in everybody}
    for name in names:
        if name not in known:
            raise UnknownName("principal", name, known)
    return [known[name] for name in dict.fromkeys(names)]


def _name_files(facts: Facts, folder: Path) -> dict[str, Path]:
    """Name the configuration of each server; one that is alone has no name."""
    if facts.cluster is None:
        return {"": folder / "server.conf"}
    return {server: folder / f"{server}.conf" for server in facts.cluster.servers}


def _check_ours(file: Path, *, force: bool) -> None:
    content = read_file(file)
    if content is not None and not force and not is_untouched(content.decode("utf-8", "replace")):
        raise Conflict(
            f"{str(file)!r} was changed by hand, or is none of ours: put what was changed into the facts and write it "
            "over with `--force`, or name another folder with `--out`."
        )


def _try_configuration(file: Path) -> list[str]:
    """Let a server itself say whether it would take a configuration, where there is its program."""
    try:
        program = find_program()
    except Unavailable:
        return []
    try:
        tried = subprocess.run(
            [program, "-t", "-c", str(file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TEST_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{file}: whether a server would take it is not known: {error}"]
    if not tried.returncode:
        return []
    said = (tried.stderr or tried.stdout).strip().splitlines()
    return [f"{file}: a server would not take it: {said[-1][:500] if said else 'it does not say why'}"]
