"""Certificates are read and judged, good and bad, from a server that these tests run on loopback."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quorate.tools.builtin.net.certificate import TlsReport, inspect_tls
from quorate.tools.builtin.net.http import Prober
from quorate.tools.targets import ProbePolicy, TargetBlocked

OPERATOR = ProbePolicy.operator()
DAY = datetime.timedelta(days=1)
Issued = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def issue(
    name: str, *, days: int = 90, names: tuple[str, ...] = ("localhost",), by: Issued | None = None, ca: bool = False
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *(x509.DNSName(one) for one in names)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 100 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(alternatives if names else alternatives[:0] or [x509.DNSName("x.test")]),
            critical=False,
        )
        # From Python 3.13 on a chain is held to RFC 5280, which wants these of authorities and of what they sign.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((by[1] if by else key).public_key()), critical=False
        )
        .add_extension(_build_key_usage(ca=ca), critical=True)
    )
    return builder.sign(by[1] if by else key, hashes.SHA256()), key


def _build_key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


@asynccontextmanager
async def serving(folder: Path, issued: Issued, *chain: x509.Certificate) -> AsyncIterator[int]:
    certificate, key = issued
    bare = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(bare + pem(certificate, *chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1024):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def inspect(port: int, host: str = "127.0.0.1", *, timeout_s: float = 5) -> TlsReport:
    return await inspect_tls(host, port, OPERATOR, timeout_s=timeout_s)


async def test_a_self_signed_certificate_is_read_and_not_trusted(tmp_path: Path) -> None:
    """Names, dates, protocol and cipher are told, and why nobody should trust it. row: B1"""
    async with serving(tmp_path, issue("self", days=9)) as port:
        report = await inspect(port)
    assert (report.status, report.verified, report.hostname_matches) == ("ok", False, True)
    assert "self-signed" in report.verify_error.replace("self signed", "self-signed")
    assert (report.subject, report.issuer, report.is_self_signed) == ("CN=self", "CN=self", True)
    assert set(report.names) == {"127.0.0.1", "localhost"}
    assert 8.9 < report.days_left <= 9
    assert report.protocol.startswith("TLSv1.")
    assert report.cipher
    assert report.cipher_bits >= 128
    assert report.connect_ms > 0
    assert report.handshake_ms > 0
    assert not report.is_expired
    assert report.chain[0].sha256


async def test_a_chain_to_a_trusted_root_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = issue("root", ca=True)
    (tmp_path / "roots.pem").write_bytes(pem(root[0]))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    async with serving(tmp_path, issue("leaf", by=root), root[0]) as port:
        report = await inspect(port, "localhost")
        seen = await Prober(OPERATOR, timeout_s=30).measure(f"https://localhost:{port}/")
    assert (report.verified, report.verify_error) == (True, "")
    assert [one.subject for one in report.chain] == ["CN=leaf", "CN=root"]
    assert seen.status == "answered"
    assert seen.phases.tls_ms > 0
    assert seen.protocol.startswith("TLSv1.")


async def test_a_certificate_for_another_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = issue("root", ca=True)
    (tmp_path / "roots.pem").write_bytes(pem(root[0]))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    async with serving(tmp_path, issue("leaf", by=root, names=("other.test",))) as port:
        report = await inspect(port, "localhost")
        named = await inspect_tls("127.0.0.1", port, OPERATOR, server_name="other.test", timeout_s=30)
    assert (report.verified, report.hostname_matches) == (False, False)
    assert report.verify_error == "the certificate is not for 'localhost'"
    assert named.verified


async def test_an_expired_certificate_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = issue("root", ca=True)
    (tmp_path / "roots.pem").write_bytes(pem(root[0]))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    async with serving(tmp_path, issue("leaf", by=root, days=-3)) as port:
        report = await inspect(port)
    assert (report.is_expired, report.verified) == (True, False)
    assert "expired" in report.verify_error
    assert -3.1 < report.days_left < -2.9


async def test_a_request_stops_at_a_bad_certificate_unless_told_otherwise(tmp_path: Path) -> None:
    async with serving(tmp_path, issue("self")) as port:
        careful = await Prober(OPERATOR, timeout_s=30).measure(f"https://127.0.0.1:{port}/")
        curious = await Prober(OPERATOR, timeout_s=30, verify_tls=False).measure(f"https://127.0.0.1:{port}/")
    assert (careful.status, careful.failed_phase) == ("tls_failed", "tls")
    assert "certificate" in careful.detail
    assert (curious.status, curious.status_code) == ("answered", 200)


async def test_a_server_without_tls_is_a_failed_handshake() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        report = await inspect(server.sockets[0].getsockname()[1])
    assert (report.status, report.address) == ("tls_failed", "127.0.0.1")
    assert report.detail
    assert report.connect_ms > 0
    assert report.handshake_ms > 0


async def test_a_handshake_that_hangs_ends_in_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        report = await inspect(server.sockets[0].getsockname()[1], timeout_s=2)
    assert (report.status, report.verified) == ("timeout", False)
    assert 100 < report.handshake_ms < 30_000
    assert "ended in the phase `handshake`" in report.detail


async def test_a_closed_port_and_an_unknown_name_are_statuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert (await inspect(port)).status == "refused"

    async def nobody(_: str) -> tuple[object, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    report = await inspect_tls("x.test", 443, OPERATOR, timeout_s=1, lookup=nobody)
    assert report.status == "unresolved"
    with pytest.raises(TargetBlocked):
        await inspect_tls("127.0.0.1", port, ProbePolicy.served(), timeout_s=1)
