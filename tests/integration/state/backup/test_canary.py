"""Does a secret that was given to us come out anywhere: in audit rows, logs, backups' manifests, certificates, errors?"""

import io
import logging
import zipfile
from pathlib import Path

import msgspec
import pytest
from tests.unit.state.backup.filling import fill

from quorate.errors import QuorateError, describe_error
from quorate.security.secrets import Secret
from quorate.state.artifacts.access import Caller
from quorate.state.artifacts.keys import KeyRing
from quorate.state.artifacts.store import ArtifactStore
from quorate.state.audit import AuditTrail
from quorate.state.backends.sqlite import open_sqlite_store
from quorate.state.backup import create_backup, restore_backup, verify_backup
from quorate.state.backup.format import Value
from quorate.state.erasure import Eraser
from quorate.state.erasure.certificate import encode_certificate
from quorate.testing.clock import ManualClock

OWN = Secret("kanarie-own-7f3a9c1e5b")
AUDIT_KEY = Secret("kanarie-audit-key-0123456789")
TYPED = Secret("kanarie-typed-42d7e1")
WORDS = {
    "openai": "sk-kanarieABCDEFGHIJ0123456789",
    "aws": "AKIAKANARI0123456789",
    "github": "ghp_kanarie0123456789abcdefghijABCDEFGHIJ",
    "login": "https://bob:kanarie-password@example.com/x",
    "bearer": "Bearer kanarie.0123456789.abcdefgh",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nkanariekanarie\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("level", [logging.DEBUG])
async def test_no_secret_comes_out(tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int) -> None:
    """Secrets in every place that an act can carry one are in no row, no log, no manifest, no certificate, no error."""
    caplog.set_level(level)
    clock, path, said = ManualClock(), tmp_path / "backup", list[str]()
    ring = KeyRing({"k1": bytes(range(100, 132))})
    async with open_sqlite_store(tmp_path / "q.db") as store:
        trail = AuditTrail(store.values, clock=clock, tenant="acme", key=AUDIT_KEY, secrets=[OWN, AUDIT_KEY])
        said.append(repr(trail))
        for name, word in WORDS.items():
            await trail.append(
                "secret.use", principal="ada", object=f"{name}/{word}", reason=f"with {word}", facts={"x": word}
            )
        await trail.append(
            "settings.set",
            principal=f"ada {OWN.reveal()}",
            object=f"x/{OWN.reveal()}",
            reason=OWN.reveal(),
            facts={
                "typed": TYPED,
                "password": "kanarie-by-name",
                "api_key": "kanarie-by-name",
                "note": AUDIT_KEY.reveal(),
            },
        )
        for facts in ({"Bad Name": TYPED.reveal()}, {"x": [TYPED.reveal()]}, {"x": float("inf")}):
            with pytest.raises(QuorateError) as refused:
                await trail.append("settings.set", principal="ada", object="x", facts=facts)
            said.append(describe_error(refused.value) + str(refused.value.context))
        artifacts = ArtifactStore(store.values, store.blobs, clock=clock, keys=ring)
        await artifacts.save("a", b"kanarie-in-an-encrypted-artifact", caller=Caller(tenant="acme", principal="ada"))
        await create_backup(store, path)
        for audit_key, keys in (
            (Secret("kanarie-another-audit-key"), None),
            (AUDIT_KEY, KeyRing({"k1": bytes(range(32))})),
        ):
            report = await verify_backup(path, audit_key=audit_key, keys=keys)
            assert not report.ok
            said.append(repr(report) + msgspec.json.encode(report.faults).decode())
        report = await verify_backup(path, audit_key=AUDIT_KEY, keys=ring)
        assert report.ok
        said.append(repr(report))
        with pytest.raises(QuorateError) as refused:
            await restore_backup(store, path, audit_key=AUDIT_KEY, keys=ring)
        said.append(describe_error(refused.value))
        eraser = Eraser(store, tenant="acme", clock=clock, audit=trail)
        certificate = await eraser.erase_principal("ada", by="dpo", reason=f"{WORDS['openai']}")
        rows = await trail.read(limit=1000)
        assert (await trail.verify()).ok
        said += [msgspec.json.encode(rows).decode(), msgspec.json.encode(await trail.verify()).decode()]
        said.append(b"".join([entry.value for entry in await store.values.scan("audit/")]).decode())
    manifest = zipfile.ZipFile(io.BytesIO(path.read_bytes())).read("manifest.json")
    said += [manifest.decode(), caplog.text, encode_certificate(certificate).decode()]
    assert b"kanarie" not in path.read_bytes()
    values = zipfile.ZipFile(io.BytesIO(path.read_bytes())).read("values.jsonl")
    lines = [msgspec.json.decode(line, type=Value) for line in values.splitlines()]
    said += [line.key + line.value.decode("latin-1") for line in lines]
    for text in said:
        lowered = text.lower()
        at = lowered.find("kanari")
        assert at < 0, text[max(0, at - 60) : at + 60]


async def test_reasons_of_a_certificate_are_what_was_given(tmp_path: Path) -> None:
    """A certificate says why in the words that were given, and is known by its digest."""
    clock = ManualClock()
    async with open_sqlite_store(tmp_path / "q.db") as store:
        await fill(store, clock=clock)
        trail = AuditTrail(store.values, clock=clock, tenant="acme")
        eraser = Eraser(store, tenant="acme", clock=clock, audit=trail)
        certificate = await eraser.erase_run("run-0000", by="dpo", reason="asked to")
        assert b"asked to" in encode_certificate(certificate)
