"""Do the pages of a project hold together: links, anchors, headings and images?"""

from __future__ import annotations

import re
from urllib.parse import unquote

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.workspace import Workspace

_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]\[]{0,500})\]\(\s{0,3}<?(?P<target>[^)\s>]{1,1000})>?(?:\s+[\"'][^\"')]{0,300}[\"'])?\s{0,3}\)"
)
_CODE = re.compile(r"`[^`]{0,1000}`")
_ANCHOR = re.compile(r"<a\s+(?:name|id)=[\"']([^\"']{1,200})[\"']")
_WORD = re.compile(r"\w+")
MAX_LINE_CHARS = 4000
_SUFFIXES = (".md", ".markdown")


def check_markdown(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check Markdown pages; addresses of the web are counted and not asked for.

    Raises:
        ToolError: The name is refused or missing.
    """
    board = Board("links", "web_links", "images", "headings", "words", "code_blocks")
    anchors: dict[str, set[str]] = {}
    wanted: list[tuple[Source, int, str, str]] = []
    for source in read_sources(workspace, path, board, wanted=lambda name: name.lower().endswith(_SUFFIXES)):
        board.item(source.file)
        anchors[source.file] = _check_page(source, board, wanted)
    for source, line, target, anchor in wanted:
        _check_target(workspace, source, line, target, anchor, anchors, board)
    return board.build(path, most=most)


def _check_page(source: Source, board: Board, wanted: list[tuple[Source, int, str, str]]) -> set[str]:
    found: dict[str, int] = {}
    level, titles, fence = 0, 0, ""
    for number, full in enumerate(source.lines, 1):
        line = full[:MAX_LINE_CHARS]
        bare = line.strip()
        if fence:
            fence = "" if bare.startswith(fence) and not bare.strip(fence[0]) else fence
            continue
        if bare.startswith(("```", "~~~")):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
            board.count("code_blocks")
            if not bare.strip("`~"):
                board.find(source, number, "no-language", "low", "the block does not say which language it is")
            continue
        # Links inside code are none, and code inside a link's text is text.
        text = _CODE.sub(lambda code: "c" * len(code[0]), line)
        board.count("words", len(_WORD.findall(text)))
        depth = len(line) - len(line.lstrip("#"))
        title = line[depth:].strip().rstrip("#").strip()
        if 1 <= depth <= 6 and title and line[depth].isspace():
            board.count("headings")
            titles += depth == 1
            if level and depth > level + 1:
                board.find(
                    source, number, "heading-jump", "low", f"a heading of level {depth} follows one of level {level}"
                )
            level = depth
            _add_anchor(found, title)
        for anchor in _ANCHOR.finditer(line):
            found.setdefault(anchor[1], 0)
        _check_links(source, number, text, board, wanted)
    if fence:
        board.find(source, len(source.lines), "open-block", "high", "a block of code is not closed")
    if titles > 1:
        board.find(source, 1, "several-titles", "low", f"the page has {titles} titles of the first level")
    return set(found)


def _check_links(
    source: Source, number: int, line: str, board: Board, wanted: list[tuple[Source, int, str, str]]
) -> None:
    for link in _LINK.finditer(line):
        target = link["target"]
        board.count("images" if link["image"] else "links")
        if link["image"] and not link["text"].strip():
            board.find(
                source, number, "no-alt-text", "medium", f"the image `{target[:100]}` has no text for who cannot see it"
            )
        if not link["image"] and not link["text"].strip():
            board.find(source, number, "empty-link", "medium", f"the link to `{target[:100]}` has no text")
        if link["text"].strip().lower() in ("here", "click here", "link", "this"):
            board.find(source, number, "vague-link", "low", f"`{link['text']}` does not say where it leads")
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}:", target) or target.startswith("//"):
            board.count("web_links")
            if target.startswith("http://") and not re.match(r"http://(?:localhost|127\.|\[|example)", target):
                board.find(source, number, "plain-http", "low", f"`{target[:100]}` can be changed on the way")
            continue
        place, _, anchor = target.partition("#")
        wanted.append((source, number, unquote(place.partition("?")[0]), unquote(anchor)))


def _check_target(
    workspace: Workspace,
    source: Source,
    line: int,
    target: str,
    anchor: str,
    anchors: dict[str, set[str]],
    board: Board,
) -> None:
    if target.startswith("/"):
        return  # which directory is the root of the site is not known here
    file = source.file if not target else _join(source.file, target)
    if file is None:
        board.find(source, line, "link-outside", "medium", f"`{target[:100]}` leads out of what may be read")
        return
    try:
        workspace.stat(file)
    except ToolError:
        board.find(source, line, "broken-link", "high", f"there is no `{target[:150]}`")
        return
    known = anchors.get(file)
    if anchor and known is not None and anchor.lower() not in {one.lower() for one in known}:
        board.find(source, line, "broken-anchor", "medium", f"`{target[:100]}` has no heading `#{anchor[:80]}`")


def _join(file: str, target: str) -> str | None:
    is_absolute = file.startswith("/")
    parts = [part for part in file.split("/")[:-1] if part]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if is_absolute else "") + "/".join(parts) or "."


def _add_anchor(found: dict[str, int], title: str) -> None:
    plain = re.sub(r"\[([^\]]{0,300})\]\([^)]{0,500}\)", r"\1", title).replace("`", "").strip().lower()
    slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
    count = found.get(slug, -1) + 1
    found[slug] = count
    if count:
        found[f"{slug}-{count}"] = 0
