"""Certificates in a directory are found with their expiry. row: B1"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quorate.errors import ToolError
from quorate.tools.builtin.infra.certificates import scan_certificates
from quorate.tools.workspace import Workspace

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def build_certificate(name: str, *, days: float) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "tls"
    (root / "old").mkdir(parents=True)
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    good, soon, gone = (
        build_certificate(name, days=days) for name, days in (("good", 300), ("soon", 10), ("gone", -5))
    )
    (root / "chain.pem").write_bytes(good.public_bytes(pem) + soon.public_bytes(pem))
    (root / "old" / "gone.DER").write_bytes(gone.public_bytes(der))
    (root / "broken.crt").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    (root / "readme.txt").write_text("no certificate")
    return root


def test_expired_and_expiring_certificates_come_first(root: Path) -> None:
    report = scan_certificates(Workspace(root), ".", warn_days=30, most=10, now_s=NOW.timestamp())
    assert [(one.names, one.days_left) for one in report.certificates] == [
        (("gone",), -5.0),
        (("soon",), 10.0),
        (("good",), 300.0),
    ]
    assert (report.found, report.files, report.expired, report.expiring) == (3, 3, 1, 1)
    assert report.certificates[1].path == "chain.pem"
    assert report.certificates[1].position == 2
    assert report.certificates[0].is_expired
    assert report.certificates[0].not_after == "2026-11-16T00:00:00Z"
    assert report.unreadable == ("broken.crt: no certificate can be read",)


def test_a_broken_certificate_does_not_hide_the_others(root: Path) -> None:
    bundle = (root / "broken.crt").read_bytes() + (root / "chain.pem").read_bytes()
    (root / "chain.pem").write_bytes(bundle)
    report = scan_certificates(Workspace(root), "chain.pem", warn_days=30, most=10, now_s=NOW.timestamp())
    assert [(one.names, one.position) for one in report.certificates] == [(("soon",), 3), (("good",), 2)]


def test_one_file_and_bounds(root: Path) -> None:
    workspace = Workspace(root)
    assert scan_certificates(workspace, "chain.pem", warn_days=0, most=1, now_s=NOW.timestamp()).found == 2
    assert len(scan_certificates(workspace, ".", warn_days=0, most=1, now_s=NOW.timestamp()).certificates) == 1
    with pytest.raises(ToolError, match="climbs"):
        scan_certificates(workspace, "../tls", warn_days=0, most=1, now_s=0.0)
