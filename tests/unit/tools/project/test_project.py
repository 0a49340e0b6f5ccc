"""A project's secrets, licences, dependencies, pages, translations and Python code are checked. Part of row B1."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.project import project_tools
from quorate.tools.builtin.project.licences import name_licence
from quorate.tools.builtin.project.packages import parse_requirement
from quorate.tools.builtin.project.translations import name_locale
from quorate.tools.workspace import Workspace

Tools = dict[str, Callable[..., Checked]]
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software"
KEY = "AKIA" + "Q3EGRZ5D7XKJ2MPL"


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return {one.name: one for one in project_tools(Workspace(tmp_path))}


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_secrets_are_found_and_never_shown(tools: Tools, tmp_path: Path) -> None:
    random = "Zx81kQpL0vRt6YhW3mNcB5sUdF2gJ4aE"
    put(
        tmp_path,
        {
            "src/a.py": f'key = "{KEY}"\nsession_token_of: {random}\nplain = 1\n',
            "deploy/app.yaml": "password: correct-horse-9\n",
            "tests/b.py": f'key = "{KEY}"\n',
            "uv.lock": f'hash = "{KEY}"\n',
            "hashes.txt": "token sha256 " + "0123456789abcdef" * 4,
        },
    )
    (tmp_path / "blob.bin").write_bytes(b"\0" * 10 + KEY.encode())
    report = tools["scan_secrets"]()
    assert report.rules == {"secret": 3, "random-text": 1}
    found = {(one.file, one.severity) for one in report.findings}
    assert found == {
        ("deploy/app.yaml", "high"),
        ("src/a.py", "critical"),
        ("src/a.py", "medium"),
        ("tests/b.py", "low"),
    }
    assert report.findings[0].severity == "critical"
    for hidden in (KEY, random, "correct-horse-9"):
        assert hidden not in str(report)
    assert report.skipped == ()


def test_licences_are_named_and_compared(tools: Tools, tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "LICENSE": MIT,
            "pyproject.toml": '[project]\nname = "x"\nlicense = "Apache-2.0"\n',
            "src/a.py": "# SPDX-License-Identifier: GPL-3.0-only\n",
            "src/b.py": "# SPDX-License-Identifier: MIT\n",
            "src/c.py": "pass\n",
            "sub/COPYING": "Ask me.",
        },
    )
    report = tools["scan_licences"]()
    assert set(report.names) == {"MIT", "Apache-2.0", "GPL-3.0-only"}
    assert report.rules == {"differing-licence": 1, "differing-header": 1, "unknown-licence": 1, "missing-headers": 1}
    assert report.facts == {"licence_files": 2, "sources": 3, "with_header": 2}
    assert name_licence("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3") == "AGPL-3.0"
    assert name_licence("anything") == ""


def test_no_licence_is_told(tools: Tools, tmp_path: Path) -> None:
    put(tmp_path, {"a.py": "pass\n"})
    assert tools["scan_licences"]().rules == {"no-licence": 1}


LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "x"},
        "node_modules/a": {
            "version": "1.0.0",
            "resolved": "https://r/a.tgz",
            "integrity": "sha512-x",
            "license": "MIT",
        },
        "node_modules/b": {"version": "2.0.0", "resolved": "https://r/b.tgz", "license": "AGPL-3.0"},
        "node_modules/b/node_modules/a": {"version": "0.9.0", "resolved": "git+ssh://g/a.git", "integrity": "x"},
    },
}


def test_dependencies_of_every_ecosystem_are_read(tools: Tools, tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "py/requirements.txt": "flask==3.0\nrequests\n# a comment\ngit+https://g/x.git#egg=x\nflask==3.0\nnumpy>=1 \\\n  --hash=sha256:a\n",
            "py/pyproject.toml": '[project]\nname = "x"\ndependencies = ["aiohttp>=3", "x[all]", "y @ git+https://g/y"]\n',
            "js/package.json": '{"dependencies": {"a": "^1.0", "b": "*", "c": "github:u/c", "d": "file:../d"}}',
            "js/package-lock.json": json.dumps(LOCK),
            "yarn/yarn.lock": '"a@^1":\n  version "1.2.3"\n\nb@1, b@2:\n  version "2.0.0"\n',
            "go/go.mod": "module x\n\ngo 1.22\n\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgithub.com/c/d v0.1.0 // indirect\n)\nreplace github.com/a/b => ../b\n",
            "go/go.sum": "github.com/a/b v1.2.3 h1:x=\ngithub.com/a/b v1.2.3/go.mod h1:y=\n",
            "rs/Cargo.toml": '[dependencies]\nserde = "1"\nlocal = { path = "../l" }\nold = { git = "https://g/old" }\n',
            "rs/Cargo.lock": '[[package]]\nname = "x"\nversion = "0.1.0"\n\n[[package]]\nname = "serde"\nversion = "1.0.1"\nsource = "registry+x"\nchecksum = "a"\n',
            "bad/uv.lock": "not [ toml",
        },
    )
    report = tools["check_dependencies"]()
    assert (report.facts["manifests"], report.facts["locks"]) == (5, 5)
    named = set(report.names)
    for name in (
        "pypi:flask@==3.0",
        "npm:a@1.0.0",
        "npm:a@0.9.0",
        "npm:b@2.0.0",
        "go:github.com/a/b@v1.2.3",
        "cargo:serde@1.0.1",
    ):
        assert name in named
    assert {
        "any-version",
        "not-pinned",
        "double",
        "from-git",
        "several-versions",
        "no-hash",
        "strong-licence",
        "no-lock-file",
        "not-readable",
    } <= report.rules.keys()
    unlocked = {one.file for one in report.findings if one.rule == "no-lock-file"}
    assert unlocked == {"py/pyproject.toml"}
    requirement = parse_requirement('Foo_Bar[x]>=1,<2; python_version < "3.13"')
    assert requirement is not None
    assert (requirement.name, requirement.version, requirement.is_pinned) == ("foo-bar", ">=1,<2", False)
    put(tmp_path, {"rs/notes.txt": ""})
    with pytest.raises(ToolError, match="no manifest"):
        tools["check_dependencies"]("rs/notes.txt")


def test_a_list_of_changes_is_in_order(tools: Tools, tmp_path: Path) -> None:
    text = "# Changelog\n## 1.2.0 - 2026-03-01\n- a\n## [1.4.0] (2026-02-30)\n## 1.1.0 - 2026-05-01\n- b\n## 1.1.0\n- c\n## 0.9\n- d\n"
    put(tmp_path, {"CHANGELOG.md": text})
    report = tools["check_changelog"]()
    assert report.names == ("1.2.0", "1.4.0", "1.1.0", "0.9")
    assert {
        "wrong-order",
        "bad-date",
        "empty-version",
        "double-version",
        "no-date",
        "not-semantic",
        "left-out",
        "no-unreleased",
    } <= report.rules.keys()
    put(
        tmp_path,
        {"CHANGELOG.md": "# Changes\n## Unreleased\n## v2.0.0 - 2026-02-01\n- x\n## v1.9.0 - 2026-01-01\n- y\n"},
    )
    assert tools["check_changelog"]().total == 0
    put(
        tmp_path,
        {"CHANGELOG.md": "1.1 (2026-02-01)\n----------------\n- x\n\n1.0 (2026-01-01)\n----------------\n- y\n"},
    )
    assert tools["check_changelog"]().names == ("1.1", "1.0")


def test_pages_hold_together(tools: Tools, tmp_path: Path) -> None:
    page = (
        "# Title\n[a](other.md#the-part) [b](gone.md) [c](other.md#nowhere) ![](pic.png) [here](https://x.example)\n"
        "#### Deep\n[](other.md) [d](../../etc/passwd) [`code`](other.md) `[no](link.md)`\n# Second\n"
        "```\n[not](alink.md)\n```\n````py\n```\n[not](alink.md)\n```\n````\n[me](#title) [w](http://plain.example.org)\n"
    )
    put(tmp_path, {"docs/a.md": page, "docs/other.md": "# Other\n## The *part*\n~~~py\nx\n", "docs/pic.png": "x"})
    report = tools["check_markdown"]()
    assert report.rules == {
        "broken-link": 1,
        "broken-anchor": 1,
        "no-alt-text": 1,
        "empty-link": 1,
        "vague-link": 1,
        "heading-jump": 1,
        "several-titles": 1,
        "no-language": 1,
        "plain-http": 1,
        "link-outside": 1,
        "open-block": 1,
    }
    assert report.facts["web_links"] == 2
    put(tmp_path, {"docs/a.md": "[" * 100_000 + "# " + " " * 200_000 + "\n" + "`" * 50_000})
    assert tools["check_markdown"]("docs/a.md").files == 1


def test_translations_say_the_same(tools: Tools, tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "locales/en/app.json": '{"hi": "Hi {name}", "bye": "Bye", "menu": {"a": "A"}}',
            "locales/nl/app.json": '{"hi": "Hoi {naam}", "menu": {"a": ""}, "extra": "x"}',
            "i18n/messages_de.properties": "a=1\n",
            "i18n/messages_en.properties": "a=1\nb=%s\n",
            "locale/fr/LC_MESSAGES/x.po": 'msgid ""\nmsgstr ""\n\nmsgid "one"\nmsgstr "un"\n\nmsgid "two"\n"more"\nmsgstr ""\n',
            "locales/broken/app.json": "{",
        },
    )
    report = tools["check_translations"]()
    assert report.rules == {"missing-key": 2, "extra-key": 1, "other-placeholders": 1, "empty-text": 2}
    assert set(report.names) == {"en", "nl", "de", "fr"}
    assert name_locale("app/locales/pt-BR/x.json") == ("pt-BR", "app/locales/*/x.json")
    assert name_locale("locales/app.json") == ("", "")


def test_a_python_project_declares_what_it_imports(tools: Tools, tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "shop"\ndependencies = ["pyyaml", "left-over", "opentelemetry-api"]\n',
            "shop/__init__.py": "import os\nimport yaml\nfrom opentelemetry import trace\nimport shop.inner\nfrom . import inner\n",
            "shop/inner.py": "import requests\n",
            "shop/broken.py": "def x(:\n",
            "tests/test_a.py": "import pytest\ndef test_a():\n    assert True\n",
        },
    )
    report = tools["check_python_project"]()
    found = {(one.rule, one.file) for one in report.findings}
    assert ("not-declared", "shop/inner.py") in found
    assert ("not-imported", "pyproject.toml") in found
    assert ("syntax-error", "shop/broken.py") in found
    assert report.rules["not-imported"] == 1
    assert {"no-python-version", "no-build-system"} <= report.rules.keys()
    assert (report.facts["modules"], report.facts["tests"], report.facts["test_functions"]) == (4, 1, 1)


def test_python_code_is_measured(tools: Tools, tmp_path: Path) -> None:
    branches = "\n".join(f"    if a == {at}:\n        return {at}" for at in range(12))
    nested = "def deep(a):\n" + "".join("    " * (at + 1) + "if a:\n" for at in range(7)) + "    " * 8 + "pass\n"
    many = "def many(a, b, c, d, e, f, g, h, i, j):\n    pass\n"
    put(
        tmp_path,
        {
            "a.py": f'def tangled(a: int) -> int:\n    "Say."\n{branches}\n    return 0\n{nested}{many}class C:\n    pass\n'
        },
    )
    report = tools["measure_python_code"]()
    assert report.rules == {"complexity": 1, "deep-nesting": 1, "many-parameters": 1}
    assert (report.facts["functions"], report.facts["classes"]) == (3, 1)
    assert (report.facts["documented_percent"], report.facts["typed_percent"]) == (25, 33)
    assert tools["measure_python_code"](max_complexity=50).rules.keys() == {"deep-nesting", "many-parameters"}
    hostile: dict[str, Any] = {"b.py": "(" * 5000, "c.py": "x = " + "-" * 50_000 + "1"}
    put(tmp_path, hostile)
    assert tools["measure_python_code"]().rules["syntax-error"] >= 1
