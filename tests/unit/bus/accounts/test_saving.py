"""Are keys made once and kept to oneself, and is a configuration never written over by mistake?"""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec import structs

from quorate.bus.accounts import files
from quorate.bus.accounts.facts import ClusterFacts, Facts, PrincipalFacts, ServerFacts, TlsFacts, build_facts
from quorate.bus.accounts.keys import read_public
from quorate.bus.accounts.saving import build_url, find_faults, save_configuration
from quorate.errors import Conflict, InvalidFiles, InvalidInput, UnknownName

FACTS = build_facts(["acme", "globex"])
SEEDS = ("system.nk", "acme/server.nk", "acme/worker.nk", "globex/server.nk", "globex/worker.nk")

HARMS: list[tuple[Callable[[Path], object], str]] = [
    (lambda keys: (keys / "acme/worker.nk").chmod(0o644), "others may read it"),
    (lambda keys: (keys / "acme/worker.nk").write_text("SUAAAA"), "no NKEY seed of a user"),
    (lambda keys: (keys / "acme/worker.nk").write_bytes((keys / "system.nk").read_bytes()), "not the public half"),
    (lambda keys: (keys / "acme").chmod(0o755), "others may look into it"),
    (lambda keys: [path.unlink() for path in keys.glob("acme/worker.*")], "has no key"),
    (lambda keys: [(keys / "system.nk").unlink(), (keys / "system.pub").write_text("x")], "no public key"),
    (lambda keys: (keys.parent / "server.conf").unlink(), "it is not there"),
    (lambda keys: (keys / "acme/worker.old.pub").write_text("x"), "no public key"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration in it."""
    save_configuration(FACTS, tmp_path / "nats")
    return tmp_path / "nats"


def read_seeds(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "keys" / name).read_bytes() for name in SEEDS}


def test_what_is_secret_is_ones_own_and_in_one_place(folder: Path) -> None:
    """Nobody else may read it, and no seed stands in the configuration, which has the public halves."""
    text = (folder / "server.conf").read_text()
    for name, seed in read_seeds(folder).items():
        assert stat.S_IMODE((folder / "keys" / name).stat().st_mode) == 0o600
        assert seed.strip().decode() not in text
        assert read_public(seed).decode() in text
    for place in (folder, folder / "keys", folder / "keys" / "acme"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert "no_auth_user" not in text
    assert text.count("nkey: U") == len(SEEDS)
    assert find_faults(FACTS, folder) == []


def test_running_again_changes_nothing(folder: Path) -> None:
    """And another tenant gets keys of its own, while the others keep theirs."""
    before = read_seeds(folder)
    saved = save_configuration(FACTS, folder)
    assert (saved.changed, [login.is_new for login in saved.logins]) == ((), [False] * 5)
    more = save_configuration(build_facts(["acme", "globex", "initech"]), folder)
    assert more.changed == more.configurations
    assert [login.name for login in more.logins if login.is_new] == ["initech/server", "initech/worker"]
    assert read_seeds(folder) == before


def test_seeds_may_be_moved_to_where_they_are_used(folder: Path) -> None:
    """The public halves stay, so that the configuration does not change."""
    for name in SEEDS:
        (folder / "keys" / name).unlink()
    saved = save_configuration(FACTS, folder)
    assert saved.changed == ()
    assert [login.has_seed for login in saved.logins] == [False] * 5
    assert find_faults(FACTS, folder) == []
    save_configuration(FACTS, folder, rotate=["acme/worker"])
    assert (folder / "keys" / "acme" / "worker.nk").is_file()


def test_a_key_is_rotated_and_the_one_before_retired(folder: Path) -> None:
    """Both are let in between; a second rotation does not lock out who has the first one."""
    old = read_public((folder / "keys/acme/worker.nk").read_bytes()).decode()
    saved = save_configuration(FACTS, folder, rotate=["acme/worker", "acme/worker"])
    new = read_public((folder / "keys/acme/worker.nk").read_bytes()).decode()
    text = (folder / "server.conf").read_text()
    assert old != new
    assert text.count(old) == text.count(new) == 1
    assert [login.name for login in saved.logins if login.is_rotating] == ["acme/worker"]
    assert find_faults(FACTS, folder) == []
    with pytest.raises(Conflict, match="retire that one first with `--retire acme/worker`"):
        save_configuration(FACTS, folder, rotate=["acme/worker"])
    saved = save_configuration(FACTS, folder, retire=["acme/worker", "globex/worker"])
    assert saved.retired == ("acme/worker",)
    assert old not in (folder / "server.conf").read_text()
    stolen = (folder / "keys/system.nk").read_bytes()
    saved = save_configuration(FACTS, folder, rotate=["system"], retire=["system"])
    assert saved.retired == ("system",)
    assert read_public(stolen).decode() not in (folder / "server.conf").read_text()
    with pytest.raises(UnknownName, match="Did you mean `acme/worker`"):
        save_configuration(FACTS, folder, rotate=["acme/workr"])
    with pytest.raises(InvalidInput, match="has no key yet"):
        save_configuration(build_facts(["other"]), folder, rotate=["other/worker"])


def test_what_was_changed_by_hand_is_not_written_over(folder: Path) -> None:
    """Nor what was never ours, unless one says so; and no key is made before that is known."""
    file = folder / "server.conf"
    file.write_text(file.read_text().replace("max_connections: 10000", "max_connections: 5"))
    assert any("changed by hand" in fault for fault in find_faults(FACTS, folder))
    with pytest.raises(Conflict, match="`--force`"):
        save_configuration(build_facts(["acme", "initech"]), folder)
    assert not (folder / "keys" / "initech").exists()
    save_configuration(FACTS, folder, force=True)
    assert find_faults(FACTS, folder) == []


@pytest.mark.parametrize(("harm", "said"), HARMS)
def test_every_kind_of_harm_is_found(folder: Path, harm: Callable[[Path], object], said: str) -> None:
    """Without writing anything, and with what to do."""
    harm(folder / "keys")
    before = sorted(path for path in folder.rglob("*"))
    assert any(said in fault for fault in find_faults(FACTS, folder)), find_faults(FACTS, folder)
    assert sorted(path for path in folder.rglob("*")) == before


def test_keys_that_cannot_be_used_stop_everything(folder: Path) -> None:
    """All of them are named, and the configuration stays."""
    for name in ("acme/worker.nk", "globex/server.nk"):
        (folder / "keys" / name).write_text("nonsense")
    with pytest.raises(InvalidFiles) as caught:
        save_configuration(build_facts(["acme", "globex", "initech"]), folder)
    assert len(caught.value.faults) == 2
    assert "nonsense" not in str(caught.value)
    assert "initech" not in (folder / "server.conf").read_text()


def test_a_seed_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """And never over another one, nor through a link."""
    tmp_path = tmp_path / "own"
    tmp_path.mkdir()
    file = tmp_path / "one"
    assert files.write_new(file, b"first")
    assert not files.write_new(file, b"second")
    assert file.read_bytes() == b"first"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert not files.write_new(tmp_path / "link", b"x")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InvalidInput):
        files.read_file(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "one"]
    for bad in (tmp_path / "one" / "below", tmp_path / "none" / "below"):
        with pytest.raises(InvalidInput):
            files.write_new(bad, b"")


def test_a_cluster_has_a_configuration_for_each_server(tmp_path: Path) -> None:
    """With the same accounts and keys; routes go to the others, each of which must show its certificate."""
    places = {name: f"{name}.internal:6222" for name in ("one", "two", "three")}
    facts = Facts(
        tenants=FACTS.tenants,
        server=ServerFacts(listen="0.0.0.0:4222"),
        tls=TlsFacts(cert="/etc/n/c.pem", key="/etc/n/k.pem", ca="/etc/n/ca.pem"),
        cluster=ClusterFacts(servers=places),
    )
    saved = save_configuration(facts, tmp_path)
    texts = {Path(file).stem: Path(file).read_text() for file in saved.configurations}
    assert set(texts) == set(places)
    for name, text in texts.items():
        assert f'server_name: "{name}"' in text
        assert "verify: true" in text
        assert [other for other in places if f"nats-route://{other}.internal:6222" in text] == [
            other for other in places if other != name
        ]
    assert len({text.partition("accounts {")[2] for text in texts.values()}) == 1
    assert build_url(facts) == "tls://one.internal:4222,tls://two.internal:4222,tls://three.internal:4222"
    assert any("a server would not take it" in fault for fault in find_faults(facts, tmp_path)), "it has no such files"


def test_a_name_cannot_leave_its_place(tmp_path: Path) -> None:
    """Words in paths stay words in a configuration."""
    odd = str(tmp_path / 'a"b\\c # {d}')
    facts = structs.replace(FACTS, server=ServerFacts(store=odd))
    save_configuration(facts, tmp_path / "nats")
    assert find_faults(facts, tmp_path / "nats") == []
    narrow = {"looker": PrincipalFacts(role="worker", subjects=(), queues=(), reads=())}
    lonely = structs.replace(FACTS.tenants["acme"], principals=narrow)
    facts = structs.replace(FACTS, tenants={"acme": lonely})
    save_configuration(facts, tmp_path / "lonely")
    assert find_faults(facts, tmp_path / "lonely") == []


def test_two_commands_at_once_agree(tmp_path: Path) -> None:
    """The configuration has the keys that are there, whoever made them."""
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(save_configuration, [FACTS] * 8, [tmp_path / "nats"] * 8))
    assert find_faults(FACTS, tmp_path / "nats") == []
    assert sum(login.is_new for one in saved for login in one.logins) == len(SEEDS)
