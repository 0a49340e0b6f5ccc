"""Are files, functions, constructors and ports as small as the style asks?"""

import ast
from collections.abc import Sequence

from tests.house.source import Function, Source, check_budget, classes, dotted, functions, sources

FILE_MEDIAN, FILE_USUAL, FILE_MOST = 150, 400, 800
FUNCTION_USUAL, FUNCTION_MOST, LOOP_STEPS_MOST = 45, 100, 80
CONSTRUCTOR_MOST, AGENT_MOST, PORT_MOST = 10, 12, 6


def find_over_share(sizes: Sequence[tuple[int, str]], *, usual: int, share: float, spare: int) -> list[str]:
    """Name everything above `usual` when that is more than its share; a small tree may have `spare`."""
    over = sorted((size, name) for size, name in sizes if size > usual)
    allowed = max(spare, int(len(sizes) * share))
    return [f"{name} ({size})" for size, name in over] if len(over) > allowed else []


def find_span(node: Function) -> int:
    """Lines from `def` to the end, docstring included, decorators not."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def all_functions() -> list[tuple[int, str]]:
    """Every function of the package with its length."""
    return [(find_span(node), f"{s.name}:{name}") for s in sources() for name, node in functions(s)]


def find_parameters(node: Function) -> int:
    """How many parameters a constructor takes, `self` not counted, `*args` and `**kwargs` one each."""
    given = node.args
    positional = [a for a in [*given.posonlyargs, *given.args] if a.arg not in {"self", "cls"}]
    return len(positional) + len(given.kwonlyargs) + bool(given.vararg) + bool(given.kwarg)


def test_files_are_short() -> None:
    """No file above 800 lines."""
    check_budget("files", {s.name: f"{s.name}: {s.lines} lines" for s in sources() if s.lines > FILE_MOST})


def test_nine_files_in_ten_are_below_400_lines() -> None:
    """A file one scrolls in is a room that wants a second file."""
    sizes = [(s.lines, s.name) for s in sources()]
    assert not find_over_share(sizes, usual=FILE_USUAL, share=0.10, spare=2)


def test_the_median_file_has_150_lines_at_most() -> None:
    """Half of the files fit on three screens."""
    sizes = [(s.lines, s.name) for s in sources()]
    assert not find_over_share(sizes, usual=FILE_MEDIAN, share=0.50, spare=10)


def test_functions_are_short() -> None:
    """No function above 100 lines."""
    over = {name: f"{name}: {size} lines" for size, name in all_functions() if size > FUNCTION_MOST}
    check_budget("functions", over)


def test_nineteen_functions_in_twenty_are_below_45_lines() -> None:
    """A long function is rare."""
    assert not find_over_share(all_functions(), usual=FUNCTION_USUAL, share=0.05, spare=3)


def test_the_loop_fits_on_a_screen_or_two() -> None:
    """`agent.loop.steps` has 80 lines at most: a feature that needs a branch there wants to be a wrapper."""
    sizes = {name: size for size, name in all_functions() if name == "agent/loop.py:steps"}
    assert all(size <= LOOP_STEPS_MOST for size in sizes.values()), sizes


def test_constructors_take_ten_parameters_at_most() -> None:
    """`Agent` may take 12; values (structs, dataclasses) are measured by their readers."""
    over: dict[str, str] = {}
    for source in sources():
        for name, node in functions(source):
            most = AGENT_MOST if name == "Agent.__init__" else CONSTRUCTOR_MOST
            if name.endswith("__init__") and find_parameters(node) > most:
                over[f"{source.name}:{name}"] = f"{source.name}:{name} takes {find_parameters(node)}"
    check_budget("constructors", over)


def test_an_agent_has_twelve_fields_at_most() -> None:
    """Whatever an `Agent` is made of, there are at most twelve public fields."""
    for source in (s for s in sources() if s.name.startswith("agent")):
        for node in classes(source):
            fields = [
                f.target.id
                for f in node.body
                if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name) and not f.target.id.startswith("_")
            ]
            assert node.name != "Agent" or len(fields) <= AGENT_MOST, fields


def find_bases(node: ast.ClassDef) -> list[ast.expr]:
    """The bases of a class, without their type parameters."""
    return [b.value if isinstance(b, ast.Subscript) else b for b in node.bases]


def test_ports_have_six_methods_at_most() -> None:
    """A wide port is two ports."""
    over: dict[str, str] = {}
    for source in (s for s in sources() if s.name == "ports.py"):
        for node in (c for c in classes(source) if any(dotted(b).endswith("Protocol") for b in find_bases(c))):
            methods = [m.name for m in node.body if isinstance(m, Function)]
            if len(methods) > PORT_MOST:
                over[node.name] = f"{node.name} has {len(methods)}: {methods}"
    check_budget("ports", over)


def find_depths(files: Sequence[Source]) -> dict[str, int]:
    """How many classes of ours stand above each class of ours."""
    bases = {c.name: [dotted(b).rpartition(".")[2] for b in c.bases] for s in files for c in classes(s)}

    def depth(name: str, seen: tuple[str, ...] = ()) -> int:
        ours = [b for b in bases[name] if b in bases and b not in (*seen, name)]
        return max((1 + depth(b, (*seen, name)) for b in ours), default=0)

    return {name: depth(name) for name in bases}


def test_inheritance_is_one_level_deep() -> None:
    """The tree of errors is the one tree of the house; everything else is composed."""
    kept = [s for s in sources() if s.name != "errors.py"]
    check_budget("inheritance", {n: f"{n}: {d} levels" for n, d in find_depths(kept).items() if d > 1})


def test_small_trees_are_not_punished() -> None:
    """A share of few things is never below the spare."""
    assert not find_over_share([(500, "a"), (10, "b")], usual=400, share=0.1, spare=1)
    assert find_over_share([(500, "a"), (500, "c"), (10, "b")], usual=400, share=0.1, spare=1)
