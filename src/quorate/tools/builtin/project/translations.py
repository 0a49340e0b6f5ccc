"""Do the translations of a program say the same things in every language?"""

from __future__ import annotations

import re

from msgspec import Struct

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.trees import Tree, read_json, read_yaml
from quorate.tools.workspace import Workspace

_LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee "
    "el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is "
    "it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms "
    "mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk "
    "sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi "
    "yo za zh zu"
)
"""ISO 639-1: a part of a path is a language by this list, since `app` and `ui` are none."""
_LOCALE = re.compile(
    rf"(?:^|[._/-])(?P<code>(?:{_LANGUAGES.replace(' ', '|')}|fil)(?:[-_](?:[A-Z]{{2}}|[A-Z][a-z]{{3}}))?)(?=[._/-]|$)"
)
_PLACES = ("locales", "locale", "i18n", "lang", "langs", "translations", "messages", "l10n")
_PLACEHOLDER = re.compile(
    r"\{\{?\s{0,3}[\w.]{0,60}\s{0,3}[^{}]{0,40}\}?\}|%\(\w{1,60}\)[sdif]|%[sdif]|\$t\(\w{1,60}\)|%\{\w{1,60}\}"
)
_SUFFIXES = (".json", ".yaml", ".yml", ".po", ".properties")


class _Texts(Struct):
    source: Source
    locale: str
    texts: dict[str, tuple[str, int]]


def check_translations(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Compare the texts of all locales with those of the one that has most.

    Raises:
        MissingExtra: There are YAML files, and `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("locales", "keys")
    groups: dict[str, list[_Texts]] = {}

    def is_wanted(name: str) -> bool:
        return name.endswith(_SUFFIXES) and any(place in name.split("/") for place in _PLACES)

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        locale, group = name_locale(source.file)
        if not locale:
            continue
        try:
            texts = _read(source)
        except ToolError as error:
            board.find(source, 1, "not-readable", "high", error.message)
            continue
        groups.setdefault(group, []).append(_Texts(source=source, locale=locale, texts=texts))
        board.item(locale)
    board.count("locales", len(board.names))
    for group in groups.values():
        _compare(group, board)
    return board.build(path, most=most)


def name_locale(path: str) -> tuple[str, str]:
    """Find the locale in a path, and what the path is without it; both empty where there is none."""
    parts = path.split("/")
    starts = [at for at, part in enumerate(parts) if part in _PLACES]
    begin = len("/".join(parts[: starts[-1] + 1])) if starts else path.rfind("/") + 1
    match = _LOCALE.search(path, begin)
    if match is None:
        return "", ""
    return match["code"].replace("_", "-"), path[: match.start("code")] + "*" + path[match.end("code") :]


def _read(source: Source) -> dict[str, tuple[str, int]]:
    if source.file.endswith(".po"):
        return _read_po(source)
    if source.file.endswith(".properties"):
        return _read_properties(source)
    trees = [read_json(source.text)] if source.file.endswith(".json") else read_yaml(source.text)
    texts: dict[str, tuple[str, int]] = {}
    for tree in trees:
        root = (
            next(iter(tree.fields.values())) if len(tree.fields) == 1 and _is_locale(next(iter(tree.fields))) else tree
        )
        texts.update(_flatten(root))
    return texts


def _is_locale(name: str) -> bool:
    return re.fullmatch(r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?", name) is not None


def _flatten(root: Tree) -> dict[str, tuple[str, int]]:
    return {
        place.removeprefix("$."): (tree.text, tree.line)
        for place, tree in root.walk()
        if not tree.fields and not tree.items and place != "$"
    }


def _read_po(source: Source) -> dict[str, tuple[str, int]]:
    texts: dict[str, tuple[str, int]] = {}
    key, value, where, began = "", "", "", 1
    for number, line in enumerate([*source.lines, ""], 1):
        match = re.match(r'(msgid|msgstr)(?:_plural)?(?:\[\d\])?\s+"(.*)"\s*$', line[:5000])
        if match is not None:
            if match[1] == "msgid" and where == "msgstr":
                texts[key] = (value, began)
                key, value = "", ""
            where = match[1]
            key, value, began = (match[2], value, number) if where == "msgid" else (key, value or match[2], began)
        elif line.startswith('"') and where:
            more = line.strip().strip('"')
            key, value = (key + more, value) if where == "msgid" else (key, value + more)
    if where == "msgstr":
        texts[key] = (value, began)
    texts.pop("", None)
    return texts


def _read_properties(source: Source) -> dict[str, tuple[str, int]]:
    texts: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(source.lines, 1):
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", "!")):
            texts[name.strip()] = (value.strip(), number)
    return texts


def _compare(group: list[_Texts], board: Board) -> None:
    whole = max(group, key=lambda one: (len(one.texts), one.locale.startswith("en"), one.locale))
    board.count("keys", len(whole.texts))
    for one in group:
        for key, (text, line) in one.texts.items():
            if not text.strip():
                board.find(one.source, line, "empty-text", "medium", f"`{key[:150]}` has no text in {one.locale}")
        if one is whole:
            continue
        for key in sorted(whole.texts.keys() - one.texts.keys()):
            message = f"`{key[:150]}` of {whole.locale} is missing in {one.locale}"
            board.note(one.source.file, 1, "missing-key", "medium", message)
        for key in sorted(one.texts.keys() - whole.texts.keys()):
            message = f"`{key[:150]}` of {one.locale} is not in {whole.locale}"
            board.find(one.source, one.texts[key][1], "extra-key", "low", message)
        for key in one.texts.keys() & whole.texts.keys():
            (text, line), (other, _) = one.texts[key], whole.texts[key]
            if text and sorted(_PLACEHOLDER.findall(text[:5000])) != sorted(_PLACEHOLDER.findall(other[:5000])):
                message = f"`{key[:150]}` has other placeholders in {one.locale} than in {whole.locale}"
                board.find(one.source, line, "other-placeholders", "high", message)
