"""What do the headers of a site's answer say about its safety and its caching?"""

from __future__ import annotations

import re

from quorate.tools.builtin.checks import Board, Checked, clean
from quorate.tools.builtin.net.http import Page, Prober
from quorate.tools.builtin.web.fetch import fetch_page

MIN_HSTS_S = 15_552_000
_VERSION = re.compile(r"\d+\.\d+")
_LONG_S = 31_536_000
_FINGERPRINT = re.compile(r"[.-][0-9a-f]{8,40}[.-]|[?&]v=")
_TEXTS = ("text/", "application/json", "application/javascript", "application/xml", "image/svg")


async def check_http_headers(prober: Prober, url: str, *, most: int) -> Checked:
    """Check the headers that protect visitors.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    board = Board("status_code", "redirects", "cookies", "headers")
    page = await fetch_page(prober, url, board)
    if page is not None:
        where = page.timing.url
        board.facts["headers"] = len(page.headers)
        _check_transport(board, page, where)
        _check_content(board, page, where)
        _check_versions(board, page, where)
        _check_cookies(board, page, where)
    return board.build(url, most=most)


def _check_transport(board: Board, page: Page, where: str) -> None:
    if not where.startswith("https://"):
        board.note(where, 1, "no-tls", "high", "what is asked and answered can be read and changed on the way")
        return
    hsts = page.headers.get("strict-transport-security", "")
    match = re.search(r"max-age\s*=\s*\"?(\d{1,12})", hsts[:500])
    if match is None:
        message = "browsers are not told to stay with https; add `Strict-Transport-Security: max-age=31536000`"
        board.note(where, 1, "no-hsts", "medium", message)
    elif int(match[1]) < MIN_HSTS_S:
        board.note(
            where, 1, "short-hsts", "low", f"browsers forget after {match[1]} s to stay with https", evidence=hsts
        )


def _check_content(board: Board, page: Page, where: str) -> None:
    headers = page.headers
    is_page = "html" in headers.get("content-type", "")
    policy = headers.get("content-security-policy", "")
    if is_page and not policy:
        board.note(
            where, 1, "no-csp", "medium", "nothing limits what a planted script may do; add `Content-Security-Policy`"
        )
    for word in ("'unsafe-inline'", "'unsafe-eval'"):
        scripts = next(
            (part for part in policy.split(";") if part.strip().startswith(("script-src", "default-src"))), ""
        )
        if word in scripts and "'nonce-" not in scripts and "'strict-dynamic'" not in scripts:
            board.note(where, 1, "weak-csp", "medium", f"{word} lets planted scripts run", evidence=scripts)
    if headers.get("x-content-type-options", "").lower() != "nosniff":
        board.note(
            where, 1, "no-nosniff", "low", "browsers may guess another type; add `X-Content-Type-Options: nosniff`"
        )
    if is_page and "frame-ancestors" not in policy and "x-frame-options" not in headers:
        board.note(
            where, 1, "framing", "medium", "other sites may show this one in a frame; add `frame-ancestors 'self'`"
        )
    if is_page and "referrer-policy" not in headers:
        board.note(where, 1, "no-referrer-policy", "low", "other sites learn where visitors come from")
    if is_page and "permissions-policy" not in headers:
        board.note(where, 1, "no-permissions-policy", "low", "nothing says which sensors and devices pages may use")
    origin = headers.get("access-control-allow-origin", "")
    if origin == "*" and headers.get("access-control-allow-credentials", "").lower() == "true":
        board.note(where, 1, "open-cors", "high", "every origin is allowed, with credentials")
    if is_page and "charset" not in headers.get("content-type", "").lower():
        board.note(where, 1, "no-charset", "low", "the type of the page does not name its encoding")


def _check_versions(board: Board, page: Page, where: str) -> None:
    for name in ("server", "x-powered-by", "x-aspnet-version", "x-generator"):
        value = page.headers.get(name, "")
        if _VERSION.search(value) or (value and name != "server"):
            board.note(where, 1, "version-shown", "low", f"`{name}` tells what runs here", evidence=value)


def _check_cookies(board: Board, page: Page, where: str) -> None:
    for cookie in page.headers.get("set-cookie", "").split("\n")[:50]:
        name = clean(cookie.partition("=")[0].strip(), 80)
        if not name:
            continue
        board.count("cookies")
        board.item(name)
        flags = {
            part.strip().partition("=")[0].lower(): part.partition("=")[2].strip().lower()
            for part in cookie.split(";")[1:]
        }
        is_login = re.search(r"(?i)sess|auth|token|login|jwt|sid$", name) is not None
        shown = f"{name}=***"
        if "secure" not in flags and where.startswith("https://"):
            board.note(where, 1, "cookie-not-secure", "medium", f"`{name}` is also sent without TLS", evidence=shown)
        if "httponly" not in flags and is_login:
            board.note(where, 1, "cookie-readable", "medium", f"scripts may read `{name}`", evidence=shown)
        if "samesite" not in flags:
            board.note(
                where,
                1,
                "cookie-no-samesite",
                "low",
                f"`{name}` does not say when other sites may send it",
                evidence=shown,
            )
        elif flags["samesite"] == "none" and "secure" not in flags:
            board.note(
                where,
                1,
                "cookie-dropped",
                "high",
                f"browsers drop `{name}`: `SameSite=None` needs `Secure`",
                evidence=shown,
            )


async def check_http_caching(prober: Prober, packed: Prober, url: str, *, most: int) -> Checked:
    """Check how an answer may be kept and whether it is packed.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    board = Board("status_code", "redirects", "max_age_s", "age_s", "size_bytes", "packed_bytes")
    page = await fetch_page(prober, url, board)
    if page is None:
        return board.build(url, most=most)
    where, headers = page.timing.url, page.headers
    size = page.timing.body.size_bytes
    board.facts["size_bytes"] = size
    control = {
        part.strip().partition("=")[0].lower(): part.partition("=")[2].strip('" ')
        for part in headers.get("cache-control", "").split(",")
    }
    control.pop("", None)
    age = control.get("s-maxage") or control.get("max-age") or ""
    board.facts["max_age_s"] = int(age) if re.fullmatch(r"\d{1,12}", age) else 0
    board.facts["age_s"] = int(headers.get("age", "")) if re.fullmatch(r"\d{1,12}", headers.get("age", "")) else 0
    _check_control(board, where, headers, control)
    if headers.get("vary", "").strip() == "*":
        board.note(where, 1, "vary-all", "medium", "`Vary: *` keeps every cache from answering")
    if size > 1400 and headers.get("content-type", "").startswith(_TEXTS):
        small = await fetch_page(packed, where, Board())
        encoding = small.headers.get("content-encoding", "") if small is not None else ""
        board.facts["packed_bytes"] = small.timing.body.size_bytes if small is not None and encoding else 0
        if small is not None and not encoding:
            board.note(
                where, 1, "not-packed", "medium", f"{size} bytes of text are sent unpacked; turn gzip, br or zstd on"
            )
        elif encoding and "accept-encoding" not in (small.headers.get("vary", "").lower() if small else ""):
            message = "a cache may hand the packed answer to who cannot unpack it; add `Vary: Accept-Encoding`"
            board.note(where, 1, "no-vary", "medium", message)
    return board.build(url, most=most)


def _check_control(board: Board, where: str, headers: dict[str, str], control: dict[str, str]) -> None:
    has_check = "etag" in headers or "last-modified" in headers
    shown = headers.get("cache-control", "")
    if not control and "expires" not in headers:
        board.note(where, 1, "no-cache-control", "medium", "every cache decides for itself; say `Cache-Control`")
    if "no-store" not in control and not has_check:
        board.note(
            where, 1, "no-validator", "low", "neither `ETag` nor `Last-Modified`: what has not changed is sent again"
        )
    if "no-store" in control and ({"public", "max-age", "immutable"} & control.keys()):
        board.note(
            where,
            1,
            "contradiction",
            "medium",
            "`no-store` and how long to store contradict each other",
            evidence=shown,
        )
    if "set-cookie" in headers and ("public" in control or "s-maxage" in control):
        message = "a shared cache may hand one visitor's cookie to another"
        board.note(where, 1, "cached-cookie", "critical", message, evidence=shown)
    if _FINGERPRINT.search(where) and board.facts["max_age_s"] < _LONG_S and "no-store" not in control:
        board.note(
            where,
            1,
            "short-life",
            "low",
            "the name changes with the content, so it may be kept for a year",
            evidence=shown,
        )
    if "html" in headers.get("content-type", "") and board.facts["max_age_s"] > 86_400 and "immutable" not in control:
        board.note(
            where,
            1,
            "long-page",
            "low",
            f"the page is kept for {board.facts['max_age_s']} s; changes are seen late",
            evidence=shown,
        )
