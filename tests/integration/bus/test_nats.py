"""Is a NATS server used only where it is what it must be, and is nobody heard who should not be?"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import nkeys
import pytest
from nats.aio.client import Client

from quorate.bus.backends.nats import NatsLogin, NatsPatience, NatsTls, open_nats_bus
from quorate.bus.embedded import open_embedded_nats
from quorate.errors import Forbidden, InvalidInput, Unauthenticated, Unavailable
from quorate.ports.bus import StreamRule
from quorate.testing.nats_server import NatsServer, open_nats_server

TASKS = StreamRule(name="tasks", subjects=("ai.agent.tasks.>",), kind="work")
SUBJECT = "ai.agent.told.acme"
ACCOUNTS = """
accounts {
  SYS: { users: [{ user: sys, password: sys-secret }] }
  A: { jetstream: enabled, users: [
    { user: acme, password: acme-secret },
    { user: worker, password: worker-secret, permissions: {
        publish: ["ai.agent.told.acme", "_INBOX_local.>"], subscribe: ["ai.agent.told.acme", "_INBOX_worker.>"] } } ] }
  B: { users: [{ user: beta, password: beta-secret }] }
}
system_account: SYS
"""


async def refuse(url: str, *, connect_s: float = 20.0, **options: object) -> BaseException:
    """Open a bus that cannot be opened; return why."""
    with pytest.raises((InvalidInput, Unauthenticated, Unavailable, Forbidden)) as caught:
        async with open_nats_bus(url, patience=NatsPatience(connect_s=connect_s), **options):  # pyright: ignore[reportArgumentType]
            pass
    return caught.value


def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Also when that is killed with -9."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom quorate.bus.embedded import open_embedded_nats\n"
        "with open_embedded_nats(Path(sys.argv[1])) as server:\n print(server.pid, flush=True)\n sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "nats")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert is_running(pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_an_embedded_server_keeps_its_streams(tmp_path: Path) -> None:
    """What was enqueued before it ended is there when it is started again in the same folder."""
    for number in range(2):
        with await asyncio.to_thread(lambda: open_embedded_nats(tmp_path / "nats")) as server:
            assert server.log
            async with open_nats_bus(server.url, tenant="acme", streams=[TASKS]) as bus:
                receipt = await bus.enqueue("ai.agent.tasks.acme", b"x")
                assert receipt.seq == number + 1


async def test_every_wrong_setting_is_named() -> None:
    """JetStream off, a small payload; with the system account also how it stores."""
    with open_nats_server(jetstream=False, lines=["max_payload: 1KB"]) as server:
        error = await refuse(server.url, streams=[TASKS])
        assert isinstance(error, InvalidInput)
        assert "JetStream is off" in error.message
        assert "`max_payload` is 1024" in error.message
        assert len(error.context["faults"]) == 2  # pyright: ignore[reportArgumentType]
    with open_nats_server(jetstream=False) as server:
        async with open_nats_bus(server.url) as bus:
            await bus.publish("a.b", b"")


async def test_how_a_server_stores_is_checked_through_its_system_account() -> None:
    """An interval before what is confirmed is on disk is a fault; `always` is none."""
    login, system = NatsLogin(user="acme", password="acme-secret"), NatsLogin(user="sys", password="sys-secret")
    with open_nats_server(lines=[ACCOUNTS]) as server:
        error = await refuse(server.url, login=login, system=system, streams=[TASKS])
        assert isinstance(error, InvalidInput)
        assert "`sync_interval` is 120 s" in error.message
        assert "sync_interval: always" in error.message
        error = await refuse(server.url, login=login, system=login, streams=[TASKS])
        assert "not of its system account" in str(error)
    with open_nats_server(lines=[ACCOUNTS], sync=True) as server:
        async with open_nats_bus(server.url, tenant="acme", login=login, system=system, streams=[TASKS]) as bus:
            assert (await bus.enqueue("ai.agent.tasks.acme", b"x")).seq == 1
        error = await refuse(server.url, login=NatsLogin(user="beta", password="beta-secret"), streams=[TASKS])
        assert "JetStream is off for this account" in str(error)
        huge = StreamRule(name="huge", subjects=("ai.huge.>",), kind="events", max_bytes=1 << 40)
        error = await refuse(server.url, login=login, system=system, streams=[huge])
        assert "`max_file_store`" in str(error)


async def test_a_login_that_is_wrong_is_refused_at_once() -> None:
    """Typed, in less than the time there is to connect."""
    with open_nats_server(lines=[ACCOUNTS]) as server:
        began = time.monotonic()
        error = await refuse(server.url, login=NatsLogin(user="acme", password="wrong"))
        assert isinstance(error, Unauthenticated)
        assert time.monotonic() - began < 15
        assert "wrong" not in error.message
        assert isinstance(await refuse(server.url), Unauthenticated)
    assert isinstance(await refuse("nats://127.0.0.1:1", connect_s=1), Unavailable)


async def test_where_nobody_may_be_anonymous() -> None:
    """Only on this machine; and a login stands in no address."""
    assert isinstance(await refuse("nats://192.0.2.1:4222"), Forbidden)
    for bad in ("http://127.0.0.1", "127.0.0.1:4222", "nats://", "nats://h:1/x", "nats://h:port", ""):
        assert "no address" in str(await refuse(bad)), bad
    error = await refuse("nats://me:secret@127.0.0.1:4222")
    assert "login in its address" in str(error)
    assert "secret" not in str(error)
    both = NatsLogin(user="a", password="b", token="c")
    assert "user and token at once" in str(await refuse("nats://127.0.0.1:4222", login=both))
    assert "secret" not in repr(NatsLogin(user="u", password="secret"))


async def test_an_nkey_is_a_login(tmp_path: Path) -> None:
    """The server knows the public key; the seed is in a file of ours."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    lines = [f"authorization {{ users: [{{ nkey: {public} }}] }}"]
    with open_nats_server(lines=lines) as server:
        async with open_nats_bus(server.url, login=NatsLogin(nkey_file=str(tmp_path / "seed"))) as bus:
            await bus.publish("a.b", b"")
            await bus.flush()
        assert isinstance(await refuse(server.url), Unauthenticated)
        missing = NatsLogin(nkey_file=str(tmp_path / "none"))
        assert "nkey_file cannot be used" in str(await refuse(server.url, login=missing))


def make_certificates(folder: Path) -> None:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "quorate test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def test_tls_is_checked_and_never_left_out(tmp_path: Path) -> None:
    """A server whose certificate is not believed is refused, and so is one that offers no TLS."""
    make_certificates(tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    lines = [f'tls {{ cert_file: "{cert}", key_file: "{key}" }}']
    with open_nats_server(lines=lines) as server:
        async with (
            open_nats_bus(server.url, tenant="acme", tls=NatsTls(ca_file=str(cert)), streams=[TASKS]) as bus,
            bus.subscribe(SUBJECT) as heard,
        ):
            await bus.publish(SUBJECT, b"x")
            assert (await anext(aiter(heard))).data == b"x"
            await bus.flush()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await bus.publish(SUBJECT, b"y")
            assert (await anext(aiter(heard))).data == b"y"
        error = await refuse(server.url.replace("nats:", "tls:"))
        assert "cannot be trusted" in str(error)
        missing = NatsTls(ca_file=str(tmp_path / "none"))
        assert "cannot be read" in str(await refuse(server.url, tls=missing))
    with open_nats_server() as server:
        error = await refuse(server.url, tls=NatsTls(ca_file=str(cert)))
        assert "no connection without TLS instead" in str(error)


async def test_what_bears_another_tenant_is_not_given_out(server: NatsServer) -> None:
    """Of those who share an account: neither told, nor answered, nor worked on; and it is counted."""
    stranger = Client()
    await stranger.connect(server.url)
    async with (
        open_nats_bus(server.url, tenant="acme", streams=[TASKS]) as acme,
        open_nats_bus(server.url, tenant="beta") as beta,
        acme.subscribe(">") as heard,
        acme.work("tasks") as pieces,
    ):
        for number in range(1000):
            await beta.publish(f"ai.agent.told.beta.n{number}", b"theirs")
        await beta.flush()
        await stranger.publish(SUBJECT, b"no tenant")
        await stranger.publish(SUBJECT, b"forged", headers={"Quorate-Tenant": "beta"})
        await stranger.request("ai.agent.tasks.acme", b"poison")  # the answer says that it is kept, before the next one
        await stranger.publish(SUBJECT, b"ours", reply="ai.agent.tasks.acme", headers={"Quorate-Tenant": "acme"})
        await stranger.flush()
        await acme.enqueue("ai.agent.tasks.acme", b"good")
        assert (await anext(aiter(pieces))).message.data == b"good"
        messages = [await anext(aiter(heard)) for _ in range(2)]
        assert sorted((message.data, message.reply) for message in messages) == [(b"good", ""), (b"ours", "")]
        assert acme.wire.foreign >= 1003
        assert acme.wire.forged == 1
        async with acme.subscribe("ai.dead.tasks.acme", after=0) as letters, asyncio.timeout(30):
            assert "another tenant" in (await anext(aiter(letters))).headers["Quorate-Reason"]
    await stranger.close()


async def test_accounts_keep_tenants_apart() -> None:
    """In an account of its own, a tenant that listens to everything gets 0 of 1,000 messages of another one, cannot
    publish to it, and no tenant's id is a pattern.
    row: A3"""
    with open_nats_server(lines=[ACCOUNTS]) as server:
        async with (
            open_nats_bus(server.url, tenant="acme", login=NatsLogin(user="acme", password="acme-secret")) as acme,
            open_nats_bus(server.url, tenant="beta", login=NatsLogin(user="beta", password="beta-secret")) as beta,
            acme.subscribe(">") as heard,
        ):
            for _ in range(1000):
                await beta.publish("ai.agent.told.beta", b"theirs")
            await beta.flush()
            with pytest.raises(Forbidden):
                await beta.publish(SUBJECT, b"")
            await acme.publish(SUBJECT, b"ours")
            assert (await anext(aiter(heard))).data == b"ours"
            assert acme.wire.foreign == 0, "not even seen"
        for tenant in ("a.b", "*", ">", "a*", "acme.>", "", "A"):
            assert isinstance(await refuse(server.url, tenant=tenant), InvalidInput), tenant


async def test_a_principal_has_inboxes_of_its_own() -> None:
    """Who may listen to its own inboxes only can ask and answer, and hears no answer to others."""
    with open_nats_server(lines=[ACCOUNTS]) as server:
        async with (
            open_nats_bus(server.url, tenant="acme", login=NatsLogin(user="acme", password="acme-secret")) as door,
            open_nats_bus(
                server.url,
                tenant="acme",
                principal="worker",
                login=NatsLogin(user="worker", password="worker-secret"),
            ) as worker,
            worker.subscribe(SUBJECT) as questions,
            asyncio.TaskGroup() as tasks,
        ):
            asking = tasks.create_task(door.request(SUBJECT, b"?"))
            question = await anext(aiter(questions))
            assert question.reply.startswith("_INBOX_local.")
            await worker.publish(question.reply, b"!")
            assert (await asking).data == b"!"
            with pytest.raises(Forbidden, match="listen to '_INBOX_local"):
                await worker.subscribe("_INBOX_local.>").__aenter__()


async def test_what_the_server_does_not_let_us_publish_is_reported() -> None:
    """By `flush`, and at once to whoever asks; what is allowed goes on."""
    login = NatsLogin(user="worker", password="worker-secret")
    with open_nats_server(lines=[ACCOUNTS]) as server:
        async with (
            open_nats_bus(server.url, tenant="acme", principal="worker", login=login) as worker,
            worker.subscribe(SUBJECT) as heard,
        ):
            await worker.publish("ai.agent.tasks.acme", b"")
            with pytest.raises(Forbidden, match="publish to 'ai"):
                await worker.flush()
            with pytest.raises(Forbidden, match="publish to 'ai"):
                await worker.request("ai.agent.other.acme", b"", timeout_s=30)
            with pytest.raises(Forbidden):
                await worker.flush()
            await worker.publish(SUBJECT, b"x")
            await worker.flush()
            assert (await anext(aiter(heard))).data == b"x"
