"""Is the public face exactly what was decided, and is all of it documented?"""

import ast

from tests.house import api
from tests.house.source import ROOT, sources

import quorate

NAMES_MOST = 60


def test_names_are_sorted_unique_and_importable() -> None:
    """One sorted `__all__`; every name in it can be imported."""
    names = api.load_names()
    assert names == sorted(set(names)), "sort `__all__` and name each thing once"
    missing = [name for name in names if api.load_object(name) is None]
    assert not missing, f"in `__all__` but not importable: {missing}"
    assert len(names) <= NAMES_MOST, f"{len(names)} public names; a face has about forty"


def test_dir_shows_the_public_names() -> None:
    """Completion in an editor or shell shows what is lazy too."""
    assert set(api.load_names()) <= set(dir(quorate))


def test_the_public_face_is_the_recorded_one() -> None:
    """A change of a public signature is a decision: record it with `python -m tests.house.api`."""
    recorded = (ROOT / api.SNAPSHOT).read_text(encoding="utf-8")
    assert api.build_snapshot() == recorded, "the public face changed; `python -m tests.house.api` records it"


def test_every_public_name_is_documented() -> None:
    """Each public name and each public method of a public class says what it is and why one uses it."""
    bare: list[str] = []
    for name in api.load_names():
        public = api.find_public(name)
        if public is None:
            continue
        if not api.find_docstring(public):
            bare.append(name)
        if isinstance(public.node, ast.ClassDef):
            bare += [f"{name}.{m.name}" for m in api.find_methods(public.node) if not ast.get_docstring(m)]
    assert not bare, f"without a docstring: {bare}"


def test_every_module_opens_with_a_sentence() -> None:
    """The first thing in a file is which question it answers."""
    bare = [s.name for s in sources() if s.text.strip() and not ast.get_docstring(s.tree)]
    assert not bare, f"without an opening sentence: {bare}"
