"""Which tools let an agent judge a web site from outside?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.net.http import FindTrace, Prober, find_no_trace
from quorate.tools.builtin.web import headers, site
from quorate.tools.define import AnyTool, tool
from quorate.tools.targets import ProbePolicy

__all__ = ["web_tools"]

Url = Annotated[str, Meta(min_length=1, max_length=2048, description="It begins with `http://` or `https://`.")]
Findings = Annotated[
    int, Meta(ge=1, le=1000, description="How many findings to list, the worst first; all are counted.")
]
PAGE_BYTES = 2_000_000
TIMEOUT_S = 15.0


def web_tools(policy: ProbePolicy | None = None, *, trace: FindTrace = find_no_trace) -> list[AnyTool]:
    """Build the tools that judge web sites, each target checked by `policy` (the local operator's by default)."""
    chosen = policy or ProbePolicy.operator()
    reading = Prober(chosen, timeout_s=TIMEOUT_S, trace=trace, keep_bytes=PAGE_BYTES)
    packed = Prober(chosen, timeout_s=TIMEOUT_S, trace=trace, encodings="gzip, br, zstd")
    return [*_header_tools(reading, packed), *_site_tools(reading)]


def _header_tools(reading: Prober, packed: Prober) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    async def check_http_headers(url: Url, max_findings: Findings = 100) -> Checked:
        """Check the headers by which a site protects its visitors: HSTS, CSP, framing, cookies, versions told."""
        return await headers.check_http_headers(reading, url, most=max_findings)

    @tool(effect="idempotent", timeout_s=45)
    async def check_http_caching(url: Url, max_findings: Findings = 100) -> Checked:
        """Check how an answer may be kept by caches, and whether it is packed: Cache-Control, ETag, Vary, gzip."""
        return await headers.check_http_caching(reading, packed, url, most=max_findings)

    return [check_http_headers, check_http_caching]


def _site_tools(reading: Prober) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=30)
    async def check_redirects(url: Url, max_findings: Findings = 100) -> Checked:
        """Follow a site's redirects and judge them: loops, long chains, temporary ones, ways back to http."""
        return await site.check_redirects(reading, url, most=max_findings)

    @tool(effect="idempotent", timeout_s=75)
    async def check_robots(url: Url, max_findings: Findings = 100) -> Checked:
        """Read what a site tells crawlers: `robots.txt` and its sitemaps; what is closed, faulty or missing."""
        return await site.check_robots(reading, url, most=max_findings)

    @tool(effect="idempotent", timeout_s=30)
    async def check_page(url: Url, max_findings: Findings = 100) -> Checked:
        """Look into one HTML page: title, language, headings, images without text, scripts and forms without TLS."""
        return await site.check_page(reading, url, most=max_findings)

    return [check_redirects, check_robots, check_page]
