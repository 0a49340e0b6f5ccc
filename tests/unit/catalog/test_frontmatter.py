"""Is a file split where it should be, and is every key found on its line?"""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.catalog.frontmatter import find_line, split_front_matter
from quorate.errors import InvalidInput

TOML = '''\
name = "x"
# triggers = ["not", "here"]
triggers = [
  "one", # [
  "two",
]
text = """
tier = "not here"
"""
tier = "core"

[limits]
steps = 3

[playbook]
title = "a"

[[playbook.steps]]
tool = "first"

[[playbook.steps]]
tool = "second"
arguments = { host = "h" }

[[playbook.steps.checks]]
when = "x"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("triggers",), 4),
        (("tier",), 11),
        (("limits",), 13),
        (("limits", "steps"), 14),
        (("playbook", "title"), 17),
        (("playbook", "steps", 0, "tool"), 20),
        (("playbook", "steps", 1), 22),
        (("playbook", "steps", 1, "tool"), 23),
        (("playbook", "steps", 1, "arguments", "host"), 24),
        (("playbook", "steps", 1, "checks", 0, "when"), 27),
        (("limits", "unknown"), 13),
        (("unknown",), 2),
        ((), 1),
    ],
)
def test_a_key_is_found_on_its_line(path: tuple[str | int, ...], line: int) -> None:
    """Comments, strings of several lines and arrays of tables do not lead astray."""
    tomllib.loads(TOML)
    assert find_line(TOML, path) == line


def test_an_entry_of_a_long_array_is_found_on_its_own_line() -> None:
    """`containing` looks between a key and the next."""
    assert find_line(TOML, ("triggers",), containing="two") == 6
    assert find_line(TOML, ("triggers",), containing="core") == 4


def test_a_file_is_split_at_its_fences() -> None:
    """What is below the second fence is the body, whatever it holds."""
    front = split_front_matter('+++\nname = "x"\n+++\n# Title\n\n+++\nmore\n')
    assert front.table == {"name": "x"}
    assert (front.body, front.body_line) == ("# Title\n\n+++\nmore\n", 4)


def test_windows_line_ends_are_read() -> None:
    """CRLF is a line end."""
    front = split_front_matter('+++\r\nname = "x"\r\n+++\r\nBody\r\n')
    assert front.table == {"name": "x"}
    assert front.body == "Body\r\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file does not begin with a `+++` line; put the TOML between two of them"),
        ("# Title\n", 1, "the file does not begin with a `+++` line; put the TOML between two of them"),
        ('+++\nname = "x"\n', 1, "the front matter is not closed; write a line `+++` below the TOML"),
        ("+++", 1, "the front matter is not closed; write a line `+++` below the TOML"),
        ('+++\nname = "x"\ntier =\n+++\n', 3, "this is not TOML: Invalid value in column 7; mend the line"),
        ("+++\na = 1\na = 2\n+++\n", 3, "this is not TOML: Cannot overwrite a value in column 6; mend the line"),
        ("+++\na = [1\n+++\n", 2, "this is not TOML: Unclosed array at the end of the front matter; mend the line"),
        ("+++\na = " + "[" * 5000 + "\n+++\n", 2, "the TOML is nested too deeply; write it flatter"),
    ],
)
def test_a_fault_names_its_line(text: str, line: int, message: str) -> None:
    """No front matter, no end of it, or no TOML in it."""
    with pytest.raises(InvalidInput) as caught:
        split_front_matter(text)
    assert (caught.value.message, caught.value.context["line"]) == (message, line)


KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.integers(-5, 5).map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(st.characters(codec="ascii", exclude_characters='"\\', min_codepoint=32, max_codepoint=126)).map(
        '"{}"'.format
    ),
    st.lists(st.sampled_from(['"a"', '"]"', '"# b"', "'['"]), max_size=3).map(
        lambda v: "[\n  " + ",\n  ".join(v) + "\n]"
    ),
    st.sampled_from(['"""\nx = 1\n"""', "'''\n[y]\n'''", "{ a = 1, b = [2] }", '"a = 1" # c = 2']),
)


@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=6),
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.text(max_size=40),
)
def test_every_key_of_any_front_matter_is_found(top: dict[str, str], nested: dict[str, str], body: str) -> None:
    """A key's line is the one on which the writer put it."""
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for section, pairs in ((), top), (("section",), nested):
        lines += [f"[{section[0]}]"] if section else []
        for key, value in pairs.items():
            if not section and key == "section":
                continue
            expected[(*section, key)] = len(lines) + 2
            lines += f"{key} = {value}".split("\n")
    toml = "\n".join(lines)
    front = split_front_matter(f"+++\n{toml}\n+++\n{body}")
    assert {path: find_line(front.toml, path) for path in expected} == expected


@given(st.text(max_size=200))
def test_any_text_is_split_or_refused_with_a_line(text: str) -> None:
    """Whatever a file holds, the outcome is a front matter or a fault."""
    try:
        front = split_front_matter("+++\n" + text)
    except InvalidInput as error:
        line = error.context["line"]
        assert isinstance(line, int)
        assert 1 <= line <= text.count("\n") + 2
    else:
        assert text.endswith(front.body)
