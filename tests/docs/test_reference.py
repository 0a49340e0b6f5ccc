"""Do the generated pages say what the source says?"""

import pytest
from scripts.build_docs import ROOT, clean, list_builders


@pytest.mark.parametrize("name", sorted(list_builders()))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    """`make docs` writes it again."""
    path = ROOT / name
    assert path.is_file(), f"{name} is missing: run `make docs`"
    assert path.read_text(encoding="utf-8") == list_builders()[name](), f"{name} is out of date: run `make docs`"


def test_google_sections_become_lists() -> None:
    """`Args:` and its items read well as Markdown."""
    assert (
        clean("Say.\n\nArgs:\n    a: The first.\n        More.") == "Say.\n\n**Args**\n\n- `a`: The first.\n      More."
    )
