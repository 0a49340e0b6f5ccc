"""Where does a site send its visitors, what does it tell crawlers, and what is in its pages?"""

from __future__ import annotations

import re

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, clean
from quorate.tools.builtin.net.http import Prober
from quorate.tools.builtin.web.fetch import fetch_page
from quorate.tools.targets import WebTarget, parse_url
from quorate.tools.threads import run_in_thread

MAX_SITEMAPS = 3
MAX_RULES = 5000
_LOCATION = re.compile(r"<loc>\s{0,20}([^<\s]{1,2048})\s{0,20}</loc>")
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]{0,40})([^<>]{0,4000})>")
_ATTRIBUTE = re.compile(
    r"""([a-zA-Z_:@][\w:.@-]{0,60})\s{0,5}(?:=\s{0,5}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000})))?"""
)


async def check_redirects(prober: Prober, url: str, *, most: int) -> Checked:
    """Follow a site's redirects, and judge each.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    board = Board("redirects", "status_code", "total_ms")
    timing = await prober.measure(url, max_redirects=5)
    board.facts["redirects"] = len(timing.redirects)
    board.facts["status_code"] = timing.status_code
    board.facts["total_ms"] = round(timing.total_ms)
    seen: dict[str, int] = {}
    for place, hop in enumerate(timing.redirects, 1):
        board.item(f"{hop.status_code} {hop.url}")
        shown = f"{hop.status_code} -> {hop.location}"
        if hop.url in seen:
            board.note(hop.url, place, "loop", "critical", "it sends visitors back to where they were", evidence=shown)
            break
        seen[hop.url] = place
        if hop.status_code in (302, 303, 307):
            board.note(
                hop.url,
                place,
                "temporary",
                "low",
                f"{hop.status_code} is for a time; 301 or 308 are kept",
                evidence=shown,
            )
        if hop.url.startswith("https://") and hop.location.startswith("http://"):
            board.note(hop.url, place, "downgrade", "critical", "it leads from https to http", evidence=shown)
    board.files = int(timing.status == "answered" or bool(timing.redirects))
    if timing.status == "too_many_redirects":
        board.note(timing.url, 1, "too-many", "high", timing.detail)
    elif timing.status != "answered":
        board.skipped.append(clean(f"{timing.url}: {timing.status} ({timing.detail})", 400))
    elif len(timing.redirects) > 2:
        message = f"{len(timing.redirects)} redirects cost {timing.total_ms:.0f} ms before anything is seen"
        board.note(url, 1, "long-chain", "medium", message)
    if timing.status == "answered" and timing.url.startswith("http://"):
        board.note(timing.url, 1, "no-https", "high", "visitors are not sent to https")
    return board.build(url, most=most)


async def check_robots(prober: Prober, url: str, *, most: int) -> Checked:
    """Read a site's `robots.txt` and the sitemaps it names.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    target = parse_url(url)
    origin = f"{target.scheme}://{target.authority}"
    board = Board("rules", "agents", "sitemaps", "urls", "status_code", "redirects")
    page = await fetch_page(prober, f"{origin}/robots.txt", board)
    sitemaps: list[str] = []
    if page is not None and page.timing.status_code == 200:
        if "html" in page.headers.get("content-type", ""):
            board.note(f"{origin}/robots.txt", 1, "html", "medium", "a page answers where `robots.txt` should")
        else:
            text = page.data.decode("utf-8-sig", "replace")
            sitemaps = await run_in_thread(lambda: _read_robots(board, f"{origin}/robots.txt", text))
    if page is not None and not sitemaps:
        board.note(f"{origin}/robots.txt", 1, "no-sitemap", "low", "no sitemap is named")
    for place in sitemaps[:MAX_SITEMAPS]:
        await _check_sitemap(prober, board, place, target)
    return board.build(url, most=most)


def _read_robots(board: Board, file: str, text: str) -> list[str]:
    sitemaps: list[str] = []
    agent = ""
    for number, line in enumerate(text.splitlines()[:MAX_RULES], 1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        name, colon, value = bare.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            board.note(file, number, "bad-line", "medium", "this is no rule: a name, `:` and a value", evidence=bare)
        elif name == "user-agent":
            agent = value
            board.count("agents")
        elif name in ("allow", "disallow"):
            board.count("rules")
            if not agent:
                board.note(file, number, "no-agent", "medium", "no `User-agent` stands before this rule", evidence=bare)
            if name == "disallow" and value == "/" and agent == "*":
                board.note(
                    file, number, "blocks-all", "high", "the whole site is closed to all crawlers", evidence=bare
                )
            if re.search(r"(?i)admin|backup|secret|private|\.git|\.env", value):
                board.note(file, number, "points-at", "low", "this tells everybody where to look", evidence=bare)
        elif name == "sitemap":
            board.count("sitemaps")
            sitemaps.append(value)
        elif name not in ("crawl-delay", "host", "clean-param", "content-signal"):
            board.note(file, number, "unknown-rule", "low", f"crawlers know no `{clean(name, 40)}`", evidence=bare)
    return sitemaps


async def _check_sitemap(prober: Prober, board: Board, place: str, target: WebTarget) -> None:
    inner = Board()
    try:
        page = await fetch_page(prober, place, inner)
    except ToolError as error:  # whoever wrote the file chose this address, not the caller
        board.skipped.append(clean(error.message, 300))
        return
    if page is None or page.timing.status_code != 200:
        board.note(
            place, 1, "sitemap-missing", "high", f"the sitemap answers {inner.facts.get('status_code', 0) or 'nothing'}"
        )
        return
    text = page.data.decode("utf-8", "replace")
    found: list[str] = await run_in_thread(lambda: _LOCATION.findall(text))
    board.count("urls", len(found))
    for one in found[:20]:
        board.item(one)
    if page.data.startswith(b"\x1f\x8b"):
        board.skipped.append(clean(f"{place}: it is packed, and was not looked into", 300))
    elif not found:
        board.note(place, 1, "sitemap-empty", "medium", "the sitemap names no page")
    foreign = [one for one in found if not re.match(rf"https?://{re.escape(target.authority)}(?:/|$)", one)]
    if foreign:
        board.note(
            place, 1, "sitemap-foreign", "medium", f"{len(foreign)} entries are of another host", evidence=foreign[0]
        )
    if len(found) > 50_000:
        board.note(place, 1, "sitemap-large", "medium", "more than 50,000 entries; crawlers stop there")


async def check_page(prober: Prober, url: str, *, most: int) -> Checked:
    """Look into one page of HTML; nothing it names is loaded.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    board = Board("status_code", "redirects", "bytes", "links", "scripts", "images", "forms", "headings")
    page = await fetch_page(prober, url, board)
    if page is not None:
        board.facts["bytes"] = page.timing.body.size_bytes
        where = page.timing.url
        if "html" not in page.headers.get("content-type", "text/html"):
            board.note(where, 1, "no-html", "low", f"this is no page but {page.headers['content-type']}")
        else:
            data = page.data
            await run_in_thread(lambda: _read_page(board, where, data.decode("utf-8", "replace")))
        if page.timing.body.size_bytes > len(page.data):
            board.truncated = f"only the first {len(page.data)} bytes were looked at"
    return board.build(url, most=most)


def _read_page(board: Board, where: str, text: str) -> None:
    text = _strip(text)
    seen: dict[str, int] = {}
    title = ""
    host = parse_url(where).host.text
    line, counted = 1, 0
    for match in _TAG.finditer(text):
        if match[1]:
            continue
        name = match[2].lower()
        line += text.count("\n", counted, match.start())
        counted = match.start()
        attributes = {
            found[1].lower(): found[2] or found[3] or found[4] or "" for found in _ATTRIBUTE.finditer(match[3])
        }
        seen[name] = seen.get(name, 0) + 1
        if name == "title" and not title:
            title = text[match.end() : match.end() + 300].partition("<")[0].strip()
        if name == "meta" and attributes.get("name", "").lower() in ("description", "viewport"):
            seen[f"meta-{attributes['name'].lower()}"] = 1
        if name == "html" and attributes.get("lang"):
            seen["lang"] = 1
        _check_tag(board, where, line, name, attributes, host)
        if sum(seen.values()) > 100_000:
            board.truncated = "the page has more than 100000 tags"
            break
    for fact, names in (("links", ("a",)), ("scripts", ("script",)), ("images", ("img",)), ("forms", ("form",))):
        board.facts[fact] = sum(seen.get(name, 0) for name in names)
    board.facts["headings"] = sum(seen.get(f"h{level}", 0) for level in range(1, 7))
    _check_head(board, where, title, seen)


def _check_head(board: Board, where: str, title: str, seen: dict[str, int]) -> None:
    if not title:
        board.note(where, 1, "no-title", "high", "the page has no title")
    elif len(title) > 70:
        board.note(
            where,
            1,
            "long-title",
            "low",
            f"the title has {len(title)} characters; results show about 60",
            evidence=title,
        )
    if "meta-description" not in seen:
        board.note(where, 1, "no-description", "low", "no description is given for who finds the page")
    if "meta-viewport" not in seen:
        board.note(where, 1, "no-viewport", "medium", "without `viewport` phones show the page too small")
    if "lang" not in seen:
        board.note(where, 1, "no-language", "medium", "`<html>` does not say its language, so it is read aloud wrongly")
    count = seen.get("h1", 0)
    if count != 1:
        board.note(where, 1, "first-heading", "low", f"the page has {count} headings of the first level")


def _check_tag(board: Board, where: str, line: int, name: str, attributes: dict[str, str], host: str) -> None:
    place = attributes.get("src") or attributes.get("action") or attributes.get("href") or ""
    if name == "img" and "alt" not in attributes:
        board.note(where, line, "no-alt-text", "medium", "an image has no text for who cannot see it", evidence=place)
    if name in ("script", "iframe", "img", "link") and where.startswith("https://") and place.startswith("http://"):
        board.note(where, line, "mixed-content", "high", f"`<{name}>` is loaded without TLS", evidence=place)
    if name == "script" and re.match(r"(?:https?:)?//", place):
        is_own = host in place.partition("//")[2].partition("/")[0]
        if not is_own and "integrity" not in attributes:
            board.note(
                where, line, "no-integrity", "medium", "a script of another host has no `integrity`", evidence=place
            )
    if name == "form" and place.startswith("http://"):
        board.note(where, line, "open-form", "high", "what is filled in is sent without TLS", evidence=place)
    if name == "form" and attributes.get("method", "get").lower() == "get" and "password" in str(attributes):
        board.note(where, line, "password-in-address", "high", "a password would stand in the address")
    if name == "a" and attributes.get("target") == "_blank" and "opener" in attributes.get("rel", "").lower().split():
        board.note(where, line, "opener", "low", "the page that opens may change this one", evidence=place)


def _strip(text: str) -> str:
    """Take out comments and the insides of scripts and styles, and keep the lines."""
    for begin, end in (("<!--", "-->"), ("<script", "</script"), ("<style", "</style")):
        lower, parts, at = text.lower(), list[str](), 0
        # Lower case may have another length than what it is made of; then it stays as it is.
        lower = lower if len(lower) == len(text) else text
        while (start := lower.find(begin, at)) >= 0:
            inside = start if begin == "<!--" else lower.find(">", start) + 1
            stop = lower.find(end, max(inside, start))
            if stop < 0 or (begin != "<!--" and inside <= start):
                break
            parts += [text[at : start if begin == "<!--" else inside], "\n" * text.count("\n", start, stop)]
            at = stop + len(end) if begin == "<!--" else stop
        text = "".join(parts) + text[at:]
    return text
