"""Is every fault in the facts of a bus found, at once and with its line, and are rights what a role needs?"""

import re
from pathlib import Path

import pytest

from quorate.bus.accounts.facts import Facts, PrincipalFacts, ServerFacts, TenantFacts, build_facts, split_listen
from quorate.bus.accounts.reading import load_facts, read_size
from quorate.bus.accounts.rights import ROLES, build_permissions
from quorate.bus.accounts.sense import find_nonsense
from quorate.errors import InvalidFiles, InvalidInput

GOOD = """
[server]
listen = "0.0.0.0:4222"
store = "streams"
max_payload = "2MB"
max_disk = "20 GB"

[tls]
cert = "server.pem"
key = "/etc/nats/server.key"
ca = "ca.pem"

[cluster.servers]
one = "nats-1.internal:6222"
two = "nats-2.internal:6222"
three = "nats-3.internal:6222"

[tenants.acme]
max_disk = "4GB"
subjects = ["audit.>"]

[tenants.acme.principals.server]
role = "server"

[tenants.acme.principals.net]
role = "worker"
subjects = ["ai.agent.tasks.acme.net", "audit.>"]
queues = ["net-tasks"]
reads = []

[tenants.globex]
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "tenants.toml"
    file.write_text(text)
    return file


def test_facts_are_read(tmp_path: Path) -> None:
    """Sizes in words, paths from where the file is, and who talks for a tenant of which nothing is said."""
    facts = load_facts(write(tmp_path, GOOD))
    assert (facts.server.max_payload, facts.server.max_disk) == (2 << 20, 20 << 30)
    assert facts.server.store == str(tmp_path / "streams")
    assert facts.tls is not None
    assert (facts.tls.cert, facts.tls.key) == (str(tmp_path / "server.pem"), "/etc/nats/server.key")
    assert facts.cluster is not None
    assert list(facts.cluster.servers) == ["one", "two", "three"]
    assert facts.tenants["acme"].principals["net"] == PrincipalFacts(
        role="worker", subjects=("ai.agent.tasks.acme.net", "audit.>"), queues=("net-tasks",), reads=()
    )
    assert {name: one.role for name, one in facts.tenants["globex"].principals.items()} == {
        "server": "server",
        "worker": "worker",
    }


def test_the_page_about_it_is_right(tmp_path: Path) -> None:
    """Its file is one, and it names every role."""
    page = (Path(__file__).parents[4] / "docs/how-to/bus-tenants.md").read_text()
    facts = load_facts(write(tmp_path, "\n".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))))
    assert list(facts.tenants) == ["acme", "globex"]
    assert all(f"| `{role}` |" in page for role in ROLES)


def test_every_wrong_word_is_told_with_its_line(tmp_path: Path) -> None:
    """Unknown keys with the nearest, wrong types, missing ones, what is no table."""
    text = (
        '[server]\nlisten = 4222\nmax_payloads = "1MB"\nmax_disk = "4 elephants"\n[tls]\ncert = "a"\n'
        '[tenants.acme]\nmax_streams = "many"\n[tenants.acme.principals.worker]\nrole = "king"\n'
        "[tenants]\nglobex = 3\n[other]\n"
    ).replace("[tenants]\nglobex = 3\n", "")
    with pytest.raises(InvalidFiles) as caught:
        load_facts(write(tmp_path, text))
    lines = [fault.split("tenants.toml:", 1)[1] for fault in caught.value.faults]
    wanted = (
        "2: `server.listen` is '4222'",
        "3: `server.max_payloads` is not known here; did you mean `max_payload`?",
        "4: `server.max_disk` is '4 elephants': Expected `int`, got `str`, such as `4GB`",
        "5: `tls` needs `key`, which is missing",
        "8: `tenants.acme.max_streams` is 'many'",
        "10: `tenants.acme.principals.worker.role` is 'king'",
        "11: `other` is not known here",
    )
    assert [line[: len(want)] for line, want in zip(lines, wanted, strict=True)] == list(wanted)


def test_everything_that_does_not_hold_together_is_told(tmp_path: Path) -> None:
    """Open to others without TLS, ids with wildcards, subjects of others, bounds that are too small together."""
    text = """
[server]
listen = "0.0.0.0:4222"
max_payload = "1KB"
max_disk = "1GB"
[cluster.servers]
one = "nats-1:6222"
[tenants.acme]
subjects = ["ai.agent.tasks.globex", "_INBOX.>", "*.x", "$SYS.>", "a..b"]
max_streams = 0
[tenants."a.b"]
[tenants.globex.principals."*"]
role = "publisher"
queues = ["tasks"]
reads = ["events"]
[tenants.globex.principals.chief]
role = "operator"
subjects = ["ai.>"]
"""
    with pytest.raises(InvalidFiles) as caught:
        load_facts(write(tmp_path, text))
    said = "\n".join(caught.value.faults)
    for words in (
        "`server.listen` is '0.0.0.0:4222', which others can reach",
        "`server.max_payload` is 1024; it is from 1MB to 64MB",
        "`server.max_disk` is 1073741824 bytes, and the tenants may take",
        "`cluster.servers` names fewer than two servers",
        "`cluster.servers.one` is 'nats-1:6222', which others can reach",
        "'ai.agent.tasks.globex'; subjects of `ai` name their tenant",
        "'_INBOX.>', which takes in the inboxes of others",
        "'*.x', which takes in the inboxes of others",
        "'$SYS.>' is one of the broker's own",
        "'a..b' is none to listen to",
        "`tenants.acme.max_streams` is 0",
        "tenant 'a.b' is not an identifier",
        "principal '*' is not an identifier",
        "is nothing for the role `publisher`, which takes no work",
        "is nothing for the role `publisher`, which reads nothing",
        "'ai.>'; subjects of `ai` name their tenant",
        "is an operator, who may do everything",
    ):
        assert words in said, words


@pytest.mark.parametrize("text", ["", "[tenants]\n", "a = [", "\x00", "tenants = 3\n", "[tenants]\nacme = 1\n"])
def test_what_is_no_file_of_facts_is_refused(tmp_path: Path, text: str) -> None:
    """Typed, whatever is in it; so is one that is not there."""
    with pytest.raises(InvalidFiles):
        load_facts(write(tmp_path, text))
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_facts(tmp_path / "none.toml")


def test_sizes_are_read() -> None:
    """In the units of a server, which counts in 1,024s; what is none stays what it is."""
    assert [read_size(text) for text in ("1B", "2KB", "3 MB", "4GB", "1TB")] == [1, 2048, 3 << 20, 4 << 30, 1 << 40]
    assert [read_size(value) for value in (7, "7", "-1GB", "1.5GB", None)] == [7, "7", "-1GB", "1.5GB", None]


def test_a_place_to_listen_is_checked() -> None:
    """A host and a port; nothing that would be something else in a configuration."""
    assert split_listen("127.0.0.1:4222") == ("127.0.0.1", 4222)
    assert split_listen("[::1]:-1") == ("::1", -1)
    for bad in ("", "4222", "host:", ":4222", "host:0", "host:65536", "a b:1", 'a"b:1', "a\n:1", "host:١"):
        with pytest.raises(InvalidInput):
            split_listen(bad)


def test_tenants_without_a_file(tmp_path: Path) -> None:
    """By their names; none, two of one, and what is no name are refused."""
    assert list(build_facts(["acme", "globex"]).tenants) == ["acme", "globex"]
    for bad in ([], ["acme", "acme"], ["a.b"], ["*"]):
        with pytest.raises(InvalidInput):
            build_facts(bad)
    open_to_all = build_facts(["acme"], server=ServerFacts(listen="10.0.0.1:4222"))
    assert any("which others can reach" in what for _, what in find_nonsense(open_to_all))


def test_a_worker_may_be_held_to_its_own() -> None:
    """Named subjects and queues, the dead letters of those queues, and nothing of the others."""
    one = PrincipalFacts(role="worker", subjects=("ai.agent.tasks.acme.net",), queues=("net",), reads=("events",))
    facts = Facts(tenants={"acme": TenantFacts(principals={"net": one, "door": PrincipalFacts(role="server")})})
    found = build_permissions(facts, "acme", "net")
    assert found.subscribe == ("_INBOX_net.>", "ai.agent.tasks.acme.net")
    assert set(found.publish) == {
        "ai.agent.tasks.acme.net",
        "ai.dead.net.acme",
        "_INBOX_door.>",
        "_INBOX_net.>",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.CONSUMER.CREATE.acme_net.workers",
        "$JS.API.CONSUMER.MSG.NEXT.acme_net.workers",
        "$JS.ACK.acme_net.workers.>",
        "$JS.ACK.*.*.acme_net.workers.>",
        "$JS.API.CONSUMER.CREATE.acme_events.*",
        "$JS.API.CONSUMER.MSG.NEXT.acme_events.*",
    }
