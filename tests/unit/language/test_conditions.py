"""Does the one condition language say what holds, refuse what is wrong, and stay within its bounds?"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

import quorate
from quorate.conditions import MAX_CHARACTERS, MAX_NESTING, MAX_TEXT, compile_condition
from quorate.errors import InvalidInput, TooLarge, UnknownName


@pytest.mark.parametrize(
    ("text", "variables", "value"),
    [
        ("1 + 2", {}, 3),
        ("x > 1 && y == 'a'", {"x": 1.5, "y": "a"}, True),
        ("has(x.a) ? x.a : 'none'", {"x": {}}, "none"),
        ("x.filter(i, i.ms > 5.0).map(i, i.name)", {"x": [{"ms": 9.0, "name": "a"}, {"ms": 1.0, "name": "b"}]}, ["a"]),
        ("x.exists(i, i == 2) && !x.all(i, i == 2)", {"x": [1, 2]}, True),
        ("max(x) - min(x) + sum(x)", {"x": [1, 2, 4]}, 10),
        ("join(distinct(x), '-')", {"x": ["b", "a", "b"]}, "b-a"),
        ("sort(x)", {"x": ["b", "a"]}, ["a", "b"]),
        ("round(x, 1)", {"x": 1.26}, 1.3),
        ("'AbC'.lowerAscii()", {}, "abc"),
        ("max([]) == null", {}, True),
        ("'10.0.0.1'.matches('^[0-9.]+$')", {}, True),
        ("item.a && [1].map(item, item)[0] == 1", {"item": {"a": True}}, True),
        ("x == null", {"x": None}, True),
    ],
)
def test_expressions_give_what_they_say(text: str, variables: dict[str, object], value: object) -> None:
    """CEL over JSON-like values, with a few pure functions beside CEL's own."""
    assert compile_condition(text).evaluate(variables) == value


def test_the_variables_it_reads_are_named() -> None:
    """Names that comprehensions bind are not among them."""
    assert compile_condition("x.map(i, i + y).size() > z.a").names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 +", "'1 +' is not a condition: unexpected the end at line 1, column 4."),
        ("a ++ b", "'a ++ b' is not a condition: unexpected '+' at line 1, column 4."),
        ("true &&\n  b c", "is not a condition: unexpected 'c' at line 2, column 5."),
        ("", "is not a condition: unexpected the end at line 1, column 1."),
        ("(" * 40 + "1" + ")" * 40, f"nests deeper than {MAX_NESTING} brackets at line 1, column 33."),
        ("x" * (MAX_TEXT + 1), f"has {MAX_TEXT + 1} characters; at most {MAX_TEXT} are read."),
        ("x" + ".map(i, i)" * 9, "has 9 comprehensions; at most 8 are allowed."),
        ("x.map(a, x.map(b, x.map(c, x.map(d, 1))))", "nests 4 comprehensions; at most 3 are allowed."),
    ],
)
def test_a_text_that_is_wrong_says_what_and_where(text: str, said: str) -> None:
    """The message has the line, the column and the reason, in words."""
    with pytest.raises(InvalidInput) as caught:
        compile_condition(text)
    assert caught.value.message.endswith(said)


def test_the_position_is_in_the_context_too() -> None:
    """A file checker can point at it."""
    with pytest.raises(InvalidInput) as caught:
        compile_condition("true &&\n  b c")
    assert (caught.value.context["line"], caught.value.context["column"]) == (2, 5)


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    """At evaluation, and before it where the names are known."""
    with pytest.raises(UnknownName, match=r"no variable 'tagrets'. Did you mean `targets`\?"):
        compile_condition("tagrets.a > 1", names=["targets", "results"])
    with pytest.raises(UnknownName, match="no variable 'foo'"):
        compile_condition("foo > 1").evaluate({"bar": 1})


def test_an_unknown_function_is_refused_before_it_runs() -> None:
    """No name is looked up when it is too late."""
    with pytest.raises(UnknownName, match=r"no function 'joined'. Did you mean `join`\?"):
        compile_condition("joined(['a'])")


@pytest.mark.parametrize(
    ("text", "variables", "said"),
    [
        ("x.y.z == 1", {"x": {"y": {}}}, "reads the field 'z', which is not there; guard it with `has(…)`."),
        ("x[3]", {"x": []}, "cannot be evaluated: index out of bounds: 3."),
        ("1 / x", {"x": 0}, "cannot be evaluated: division by zero in CEL expression."),
        ("x + 1", {"x": 1.5}, "cannot be evaluated: Unsupported operation: float + int."),
        ("x", {"x": object()}, "Failed to convert Python object of type object to Value."),
    ],
)
def test_what_cannot_be_evaluated_says_why(text: str, variables: dict[str, object], said: str) -> None:
    """A missing field is told from a type that does not fit."""
    with pytest.raises(InvalidInput) as caught:
        compile_condition(text).evaluate(variables)
    assert caught.value.message.endswith(said)


def test_a_condition_is_true_or_false() -> None:
    """Nothing else counts as either."""
    assert compile_condition("x == 1").holds({"x": 1}) is True
    with pytest.raises(InvalidInput, match="gives int 1, not true or false"):
        compile_condition("x").holds({"x": 1})


@pytest.mark.parametrize(
    "text",
    [
        "x.map(a, x.map(b, x.map(c, 1)))",
        "[x].map(y, y + y + y + y)[0].map(y, y + y + y + y)[0].map(y, y + y + y + y)",
        "x.filter(a, x.exists(b, a == b && b < 0))",
        "x.map(a, a.matches('^(a|b|c)+$'))",
    ],
)
def test_work_that_could_take_long_is_refused_before_it_begins(text: str) -> None:
    """The library cannot be interrupted, so the bound is on what it may visit."""
    began = time.process_time()
    with pytest.raises(TooLarge, match="may visit"):
        compile_condition(text).evaluate({"x": ["a"] * 20_000})
    assert time.process_time() - began < 10


def test_the_heaviest_work_that_is_allowed_is_done_in_time() -> None:
    """A list of 1,000 may be copied once for each of its members, and that is the most."""
    rows = [{"a": number, "s": "hello"} for number in range(990)]
    began = time.process_time()
    assert compile_condition("x.filter(i, i.a > 5 && i.s == 'hello').size()").evaluate({"x": rows}) == 984
    assert time.process_time() - began < 20


def test_variables_are_bounded() -> None:
    """By size, by count and by depth; only those that are read count."""
    deep: object = 1
    for _ in range(60):
        deep = [deep]
    for value in ("a" * (MAX_CHARACTERS + 1), list(range(60_000)), deep):
        with pytest.raises(TooLarge):
            compile_condition("x == 1").evaluate({"x": value})
        assert compile_condition("y == 1").evaluate({"x": value, "y": 1}) is True


def test_what_comes_out_is_bounded_too() -> None:
    """An expression cannot make more than it may read."""
    with pytest.raises(TooLarge):
        compile_condition("x + x + x").evaluate({"x": "a" * 500_000})


def test_without_the_library_the_error_names_the_extra() -> None:
    """The library is optional: without it a condition says what to install."""
    code = (
        "import sys\n"
        "sys.path[:] = [place for place in sys.path if 'site-packages' not in place]\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "from quorate.conditions import compile_condition\n"
        "compile_condition('true')\n"
    )
    with tempfile.TemporaryDirectory() as place:
        Path(place, "msgspec").symlink_to(Path(msgspec.__file__).parent)
        source = Path(quorate.__file__).parent.parent
        argv = [sys.executable, "-c", code, place, str(source)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip().endswith("MissingExtra: Conditions needs the extra `cel`: pip install 'quorate[cel]'")


def test_several_threads_may_read_the_first_one() -> None:
    """The library is loaded once, whoever comes first; it does not bear being loaded twice."""
    program = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from quorate.conditions import compile_condition\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(sum(one.holds({}) for one in pool.map(compile_condition, ['1 < 2'] * 64)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("64\n", "")
