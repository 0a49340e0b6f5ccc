"""Are cases read from files of all forms, and is everything that is wrong told at once, with its line?"""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.catalog.evaluation.case import Contains, Routed, ScriptedCall
from quorate.catalog.evaluation.load import load_cases
from quorate.errors import InvalidFiles

TOML = """
[defaults]
tags = ["smoke"]

[[case]]
id = "tls.expired"
agent = "network"
request = "Is it valid?"
script = [{ tool = "read_file", arguments = { path = "a" } }, "It expired."]
expects = [{ grader = "contains", all = ["expired"] }]

[[case]]
id = "route.none"
kind = "route"
request = "Bake a cake."
tags = ["traps"]
expects = [{ grader = "route" }]
"""
JSON = '[\n  {"id": "j", "request": "x", "expects": [{"grader": "exact", "equals": 1}]}\n]'
JSONL = '{"id": "l1", "request": "x", "expects": [{"grader": "exact", "equals": "y"}]}\n\n' + JSON[4:-2].strip() + "\n"
YAML = "case:\n  - id: y\n    request: x\n    expects:\n      - grader: cel\n        condition: text == 'y'\n"


def test_cases_are_read_from_all_forms(tmp_path: Path) -> None:
    """TOML, JSON, a JSON document a line, and YAML; from files and directories."""
    folder = tmp_path / "cases"
    folder.mkdir()
    for name, text in {"a.toml": TOML, "b.json": JSON, "c.yaml": YAML}.items():
        (folder / name).write_text(text)
    lines = tmp_path / "d.jsonl"
    lines.write_text(JSONL.replace('"j"', '"l2"'))
    cases = {case.id: case for case in load_cases([folder, lines])}
    assert list(cases) == ["tls.expired", "route.none", "j", "y", "l1", "l2"]
    first = cases["tls.expired"]
    assert first.expects == (Contains(all=("expired",)),)
    assert first.script == (ScriptedCall(tool="read_file", arguments={"path": "a"}), "It expired.")
    assert (first.tags, cases["route.none"].tags) == (("smoke",), ("traps",))
    assert cases["route.none"].expects == (Routed(),)


def find_faults(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    with pytest.raises(InvalidFiles) as refused:
        load_cases([folder], agents=["network"])
    return [fault.replace(f"{folder}/", "") for fault in refused.value.faults]


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """Each with its line, what is wrong, and what to do."""
    toml = """[[case]]
id = "Bad Id"
request = ""
expects = []

[[case]]
id = "two"
requests = "x"
agent = "netwrk"
tags = [1]
expects = [
  { grader = "contans" },
  { grader = "regex", pattern = "(?=x)" },
  { grader = "cel", condition = "value > 1" },
]

[[case]]
id = "three"
request = "x"
agent = "netwrk"
kind = "route"
expects = [{ grader = "schema", schema = { type = "objekt" } }, { grader = "regex", pattern = "(?=x)" }, { grader = "cel", condition = "valu > 1" }]

[cases]
"""
    jsonl = '{"id": "three", "request": "x", "expects": [{"grader": "contains"}]}\n{"id": 1}\nnot json\n'
    json = '{"case": [\n  {"id": "k",\n   "request": "x",\n   "kind": "decision",\n   "expects": [\n     {"grader": "decision"}\n   ]}\n]}'
    yaml = "case:\n  - id: y\n    request: x\n    oops: 1\n    expects:\n      - grader: judge\n        rubric: ''\n"
    found = find_faults(tmp_path, a_toml=toml, b_jsonl=jsonl, c_json=json, d_yaml=yaml)
    told = "\n".join(found)
    for part in (
        "a.toml:2: `id` 'Bad Id' is not one",
        "a.toml:3: `request` is empty",
        "a.toml:4: `expects` is empty",
        "a.toml:6: the key `request` is missing; add it",
        "a.toml:8: there is no key `requests`; did you mean `request`?",
        "a.toml:10: `tags[0]`: expected `str`, got `int`",
        "a.toml:11: there is no grader 'contans'; did you mean `contains`?",
        "a.toml:20: there is no agent 'netwrk'; did you mean `network`?",
        "a.toml:20: a case of kind 'route' asks who does it",
        "`schema`: ",
        "`pattern`: ",
        "There is no variable 'valu'",
        "a.toml:24: there is no key `cases`; did you mean `case`?",
        "b.jsonl:1: `id` 'three' is also in",
        "b.jsonl:1: it looks for nothing",
        "b.jsonl:2: `id`: expected `str`, got `int`",
        "b.jsonl:2: the key `request` is missing",
        "b.jsonl:3: this is not JSON",
        "c.json:2: a decision is made by a `poll` or by an `agent`",
        "c.json:6: it expects nothing",
        "d.yaml:4: there is no key `oops`",
    ):
        assert part in told, f"{part}\n--- in\n{told}"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "[[case", "this is not TOML"),
        ("a.json", "[" * 200, "nests deeper than 64 levels"),
        ("a.json", '{"x": 1}', "there is no key `x`"),
        ("a.json", "[1]", "it is 1, and must be a table"),
        ("a.yaml", "case: &a [*a]", "anchors, aliases and tags are not read"),
        ("a.yaml", "case: !!python/object:os.system {}", "anchors, aliases and tags are not read"),
        ("a.yaml", "case: [", "this is not YAML"),
        ("a.yaml", "just words", "it holds no `case`"),
        ("a.toml", "case = 3", "`case` is not a list of cases"),
        ("a.toml", "case = []\n[defaults]\nid = 'x'", "`id` cannot be a default"),
        ("a.csv", "", "the directory holds no file of cases"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    """In words, without a traceback."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidFiles, match=None) as refused:
        load_cases([tmp_path])
    assert said in refused.value.message


def test_bytes_that_are_no_text_and_files_that_are_away_are_told(tmp_path: Path) -> None:
    """With the line of the byte."""
    (tmp_path / "a.toml").write_bytes(b"# ok\nx = '\xff'")
    with pytest.raises(InvalidFiles) as refused:
        load_cases([tmp_path, tmp_path / "gone.toml", tmp_path / "b.txt"])
    told = refused.value.message
    assert "a.toml:2: byte 0xff is not UTF-8" in told
    assert "gone.toml:1: cannot be read: No such file or directory" in told
    assert "b.txt:1: cases are in files that end in" in told


def test_fixtures_stay_in_their_folder(tmp_path: Path) -> None:
    """No path leads out of the workspace."""
    (tmp_path / "a.toml").write_text(
        '[[case]]\nid = "a"\nrequest = "x"\nagent = "n"\nexpects = [{ grader = "exact", equals = "x" }]\n'
        '[case.fixture]\nserves = true\nneeds = ["A b"]\n[case.fixture.databases]\n"../x.db" = ""\n"/etc/y" = ""\n'
    )
    with pytest.raises(InvalidFiles) as refused:
        load_cases([tmp_path])
    assert len(refused.value.faults) == 4
