"""How does a check get a page, and what does it say when there is none?"""

from __future__ import annotations

from quorate.tools.builtin.checks import Board, clean
from quorate.tools.builtin.net.http import MAX_REDIRECTS, Page, Prober


async def fetch_page(prober: Prober, url: str, board: Board, *, max_redirects: int = MAX_REDIRECTS) -> Page | None:
    """Ask for a page and follow its redirects; what did not answer is told on the board.

    Raises:
        InvalidTarget: The URL is not well formed.
        TargetBlocked: The policy does not allow its host.
    """
    page = await prober.fetch(url, max_redirects=max_redirects)
    timing = page.timing
    board.facts["status_code"] = timing.status_code
    board.facts["redirects"] = len(timing.redirects)
    if timing.status != "answered":
        board.skipped.append(clean(f"{timing.url}: {timing.status} ({timing.detail})", 400))
        return None
    board.files += 1
    board.items += 1
    if timing.status_code >= 400:
        severity = "high" if timing.status_code >= 500 else "medium"
        board.note(timing.url, 1, "error-status", severity, f"the server answered {timing.status_code} {timing.reason}")
    return page
