"""A web site is judged from outside, within the policy and within bounds. Part of row B1."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority

from quorate.errors import ToolError
from quorate.tools.builtin.net.http import Prober
from quorate.tools.builtin.web import web_tools
from quorate.tools.builtin.web.headers import check_http_headers
from quorate.tools.targets import ProbePolicy, TargetBlocked

PAGE = """<!DOCTYPE html><html><head><!-- <img src=x> --><script>var a = "<img>";</script></head><body>
<img src="a.png"><script src="https://cdn.example/x.js"></script>
<form action="http://plain.example/login" method="post"><input type="password"></form>
<a href="/x" target="_blank" rel="opener">x</a><h1>a</h1><h1>b</h1></body></html>"""
ROBOTS = "User-agent: *\nDisallow: /\nDisallow: /admin\nnonsense\nFoo: bar\nSitemap: {base}/sitemap.xml\nSitemap: http://169.254.169.254/x\n"
SITEMAP = "<urlset><url><loc>{base}/a</loc></url><url><loc>https://other.example/b</loc></url></urlset>"


def answer(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body


def respond(path: str, base: str, *, packed: bool) -> bytes:
    html = "Content-Type: text/html"
    if path == "/good":
        csp = "Content-Security-Policy: default-src 'self'; frame-ancestors 'self'"
        hsts = "Strict-Transport-Security: max-age=31536000"
        more = ("X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer", "Permissions-Policy: camera=()")
        return answer("200 OK", b"x", "Content-Type: text/html; charset=utf-8", csp, hsts, *more)
    if path == "/bad":
        cookies = (
            "Set-Cookie: session=s3cret; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
            "Set-Cookie: b=1; SameSite=None",
        )
        csp = "Content-Security-Policy: script-src 'unsafe-inline'"
        return answer("200 OK", b"x", html, csp, "Server: nginx/1.18.0", "X-Powered-By: PHP", *cookies)
    if path == "/cached":
        body = gzip.compress(b"x" * 5000) if packed else b"x" * 5000
        more = ("Content-Encoding: gzip",) if packed else ()
        control = ("Cache-Control: public, max-age=100, no-store", "Set-Cookie: a=1", "Vary: *")
        return answer("200 OK", body, "Content-Type: text/css", *control, *more)
    if path == "/plain":
        return answer("200 OK", b"x" * 5000, html)
    if path == "/page":
        return answer("200 OK", PAGE.encode(), html)
    if path == "/robots.txt":
        return answer("200 OK", ROBOTS.format(base=base).encode(), "Content-Type: text/plain")
    if path == "/sitemap.xml":
        return answer("200 OK", SITEMAP.format(base=base).encode(), "Content-Type: application/xml")
    if path.startswith("/hop"):
        number = int(path.removeprefix("/hop") or 0)
        return answer("302 Found", b"", f"Location: /hop{number - 1}" if number else "Location: /plain")
    if path == "/loop":
        return answer("301 Moved", b"", "Location: /loop")
    if path == "/away":
        return answer("301 Moved", b"", "Location: http://169.254.169.254/latest")
    return answer("404 Not Found", b"")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        port = writer.get_extra_info("sockname")[1]
        packed = "gzip" in head.partition("Accept-Encoding:")[2].partition("\r\n")[0]
        writer.write(respond(head.split(" ")[1], f"http://127.0.0.1:{port}", packed=packed))
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture
async def base() -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def tools() -> dict[str, Any]:
    return {one.name: one for one in web_tools(ProbePolicy.operator())}


async def test_headers_are_judged(base: str, tools: dict[str, Any]) -> None:
    report = await tools["check_http_headers"](f"{base}/bad")
    assert {
        *("no-tls", "weak-csp", "no-nosniff", "framing", "no-referrer-policy", "no-charset", "version-shown"),
        *("cookie-readable", "cookie-no-samesite", "cookie-dropped", "no-permissions-policy"),
    } == report.rules.keys()
    assert (report.facts["cookies"], report.names) == (2, ("session", "b"))
    assert "s3cret" not in str(report)
    assert (await tools["check_http_headers"](f"{base}/gone")).rules["error-status"] == 1


@pytest.mark.blocking
async def test_a_safe_site_is_left_alone(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("site", hosts=["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        prober = Prober(ProbePolicy.operator(), timeout_s=30, verify_tls=False)
        assert (await check_http_headers(prober, f"{url}/good", most=50)).total == 0
        bad = await check_http_headers(prober, f"{url}/bad", most=50)
        assert {"no-hsts", "cookie-not-secure"} <= bad.rules.keys()
        strict = await check_http_headers(Prober(ProbePolicy.operator(), timeout_s=30), f"{url}/good", most=50)
    assert strict.files == 0
    assert "tls_failed" in strict.skipped[0]


async def test_caching_is_judged(base: str, tools: dict[str, Any]) -> None:
    report = await tools["check_http_caching"](f"{base}/cached")
    assert report.rules == {"contradiction": 1, "cached-cookie": 1, "vary-all": 1, "no-vary": 1}
    assert report.facts["max_age_s"] == 100
    assert report.facts["packed_bytes"] < report.facts["size_bytes"] == 5000
    report = await tools["check_http_caching"](f"{base}/plain")
    assert report.rules == {"no-cache-control": 1, "no-validator": 1, "not-packed": 1}


async def test_redirects_are_judged(base: str, tools: dict[str, Any]) -> None:
    report = await tools["check_redirects"](f"{base}/hop3")
    assert report.rules == {"temporary": 4, "long-chain": 1, "no-https": 1}
    assert report.facts["redirects"] == 4
    report = await tools["check_redirects"](f"{base}/loop")
    assert {"loop", "too-many"} == report.rules.keys()
    report = await tools["check_redirects"](f"{base}/away")
    assert "redirect_blocked" in report.skipped[0]


async def test_robots_and_sitemaps_are_read(base: str, tools: dict[str, Any]) -> None:
    report = await tools["check_robots"](f"{base}/some/page")
    assert report.rules == {"blocks-all": 1, "points-at": 1, "bad-line": 1, "unknown-rule": 1, "sitemap-foreign": 1}
    assert (report.facts["rules"], report.facts["sitemaps"], report.facts["urls"]) == (2, 2, 2)
    assert "metadata" in report.skipped[0]


async def test_a_page_is_looked_into(base: str, tools: dict[str, Any]) -> None:
    report = await tools["check_page"](f"{base}/page")
    assert report.rules == {
        "no-title": 1,
        "no-description": 1,
        "no-viewport": 1,
        "no-language": 1,
        "first-heading": 1,
        "no-alt-text": 1,
        "no-integrity": 1,
        "open-form": 1,
        "opener": 1,
    }
    assert (report.facts["images"], report.facts["scripts"], report.facts["forms"]) == (1, 2, 1)
    assert next(one.line for one in report.findings if one.rule == "no-alt-text") == 2


async def test_the_policy_decides_which_sites(base: str, tools: dict[str, Any]) -> None:
    served = {one.name: one for one in web_tools(ProbePolicy.served())}
    for name in ("check_http_headers", "check_http_caching", "check_redirects", "check_robots", "check_page"):
        with pytest.raises(TargetBlocked):
            await served[name](f"{base}/good")
        with pytest.raises(TargetBlocked):
            await tools[name]("http://169.254.169.254/")
        with pytest.raises(ToolError):
            await tools[name]("file:///etc/passwd")
    nobody = await tools["check_page"]("http://127.0.0.1:1/")
    assert nobody.files == 0
    assert "refused" in nobody.skipped[0]
