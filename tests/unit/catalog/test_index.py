"""Is a catalogue known again from its index, and is the index never believed where it should not be?"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.catalog.files import SAMPLES, build_text, write

from quorate.catalog.collect import Rules, collect
from quorate.catalog.definition import AgentDefinition
from quorate.catalog.files import BUILTIN
from quorate.catalog.index import build_stamp, name_index, open_index, shorten
from quorate.catalog.load import Catalog, load_catalog
from quorate.catalog.skim import skim
from quorate.errors import InvalidFiles

DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda content: b"",
    lambda content: content[:40],
    lambda content: content[:-1],
    lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:],
    lambda content: content.replace(b"QAIX1", b"QAIX2"),
    lambda content: b"\x00" * len(content),
]


def load(directory: Path, folder: Path) -> Catalog:
    """Load a directory as the built-in one, with an index."""
    return load_catalog(builtin=directory, index=folder)


def load_until_known(directory: Path, folder: Path) -> Catalog:
    """Load a directory until its index is old enough to be believed for all files."""
    for _ in range(100_000):
        catalog = load(directory, folder)
        index = open_index(find_index(folder), str(directory))
        assert index is not None
        files = [path.relative_to(directory).as_posix() for path in directory.rglob("*.md")]
        if all(index.find(name, build_stamp((directory / name).stat())) for name in files):
            return catalog
    raise AssertionError("no index was ever believed")


def find_index(folder: Path) -> Path:
    """The one index there is."""
    (path,) = folder.iterdir()
    return path


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """Three agents."""
    for name in ("one", "two", "three"):
        write(tmp_path / "agents", name)
    return tmp_path / "agents"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where indexes are kept."""
    return tmp_path / "cache"


def test_what_an_index_holds_is_what_the_files_say(agents: Path, folder: Path) -> None:
    """Entries are equal, and whole definitions are read when they are wanted."""
    plain = load_catalog([agents], builtin=None)
    first, again = load(agents, folder), load_until_known(agents, folder)
    wanted = [shorten(entry) for entry in plain]
    assert [shorten(entry) for entry in first] == wanted
    assert [shorten(entry) for entry in again] == wanted
    assert again.get("two") == plain.get("two")
    assert isinstance(again.get("two"), AgentDefinition)
    assert find_index(folder).stat().st_mode & 0o777 == 0o600


def test_what_changes_is_read_again(agents: Path, folder: Path) -> None:
    """A changed file, one more, one less."""
    load_until_known(agents, folder)
    write(agents, "two", more='tags = ["newer"]')
    write(agents, "four")
    (agents / "three.md").unlink()
    catalog = load(agents, folder)
    assert catalog.names() == ("four", "one", "two")
    assert catalog.look_at("two").tags == ("newer",)
    index = open_index(find_index(folder), str(agents))
    assert index is not None
    assert sorted(index.files) == ["four.md", "one.md", "two.md"]


def test_a_file_is_known_by_more_than_its_size_and_time(agents: Path, folder: Path) -> None:
    """Whoever puts the times back has still changed the file."""
    load_until_known(agents, folder)
    path = agents / "two.md"
    before = path.stat()
    path.write_text(path.read_text().replace("Looks at things.", "Looks at stings."))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert load(agents, folder).look_at("two").description == "Looks at stings."


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_index_is_built_again(agents: Path, folder: Path, damage: Callable[[bytes], bytes]) -> None:
    """Cut, flipped, of another version, or empty: as good as none."""
    load(agents, folder)
    path = find_index(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert open_index(path, str(agents)) is None
    assert load(agents, folder).names() == ("one", "three", "two")
    assert open_index(path, str(agents)) is not None


def test_an_index_that_others_may_write_is_not_believed(agents: Path, folder: Path) -> None:
    """Nor one that is a link."""
    load(agents, folder)
    path = find_index(folder)
    path.chmod(0o666)
    assert open_index(path, str(agents)) is None
    path.chmod(0o600)
    assert open_index(path, str(agents)) is not None
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert open_index(path, str(agents)) is None


def test_an_index_is_of_one_directory(agents: Path, folder: Path) -> None:
    """One that was put in another's place is not believed."""
    load(agents, folder)
    assert open_index(find_index(folder), f"{agents}-other") is None
    own, other = (name_index(folder, str(agents), builtin=builtin) for builtin in (True, False))
    assert own != other


def test_faults_are_told_with_their_lines_all_the_same(agents: Path, folder: Path) -> None:
    """Also those between files that the index knows."""
    mine = agents.parent / "mine"
    write(mine, "five", more='tools = ["agent:one"]')
    load_until_known(agents, folder)
    load_catalog([mine], builtin=agents, index=folder)
    (agents / "one.md").unlink()
    with pytest.raises(InvalidFiles, match=r"five\.md:8: there is no agent 'one'; "):
        load_catalog([mine], builtin=agents, index=folder)


def test_a_place_that_cannot_be_written_is_no_reason_not_to_start(agents: Path, tmp_path: Path) -> None:
    """There is no index then."""
    (tmp_path / "file").write_text("")
    assert len(load(agents, tmp_path / "file")) == 3


def test_an_agent_whose_file_is_gone_says_so(agents: Path, folder: Path) -> None:
    """What an index made known is read when it is wanted, and may be gone by then."""
    load_until_known(agents, folder)
    catalog = load(agents, folder)
    (agents / "two.md").unlink()
    assert catalog.get("one").name == "one"
    with pytest.raises(InvalidFiles, match=r"two\.md:1: cannot be read: No such file or directory"):
        catalog.get("two")


def test_without_an_index_an_agent_is_as_it_was_found(agents: Path) -> None:
    """Built-in ones too, which are understood when they are wanted."""
    catalog = load_catalog(builtin=agents)
    for path in agents.iterdir():
        path.unlink()
    assert [catalog.get(name).instructions for name in catalog.names()] == ["Look at the thing."] * 3


@pytest.mark.parametrize("directory", [BUILTIN, SAMPLES])
def test_a_quick_look_sees_what_a_long_one_does(directory: Path) -> None:
    """Of every agent that is shipped, and of those of the tests; and it does see most of them."""
    found = collect({str(directory): True}, Rules(is_whole=True))
    assert found.faults == ()
    seen = 0
    for _, entry in found.definitions:
        text = Path(entry.source).read_text(encoding="utf-8")
        quick = skim(text, stem=entry.name, path=entry.source)
        assert quick in (None, shorten(entry))
        seen += quick is not None
    assert seen >= 0.9 * len(found.definitions)


@pytest.mark.parametrize(
    "more",
    [
        "tags = ['small']",
        'tags = [ # a remark\n  "small",\n]',
        'deprecated = "a\\tb"',
        'deprecated = """\nlong"""',
        "tags=['small']",
        'escalates_to = "x"',
        "colour = 1",
        "replaces = yes",
    ],
)
def test_what_is_not_written_plainly_is_read_in_full(more: str) -> None:
    """Rather than misread."""
    assert skim(build_text("x", more), stem="x", path="x.md") is None


@pytest.mark.parametrize(
    "more", ['tags = [\n  "small",\n  "grey",\n]', "replaces = true", 'model = "small"', "tags = []"]
)
def test_what_is_written_plainly_is_read_quickly(more: str) -> None:
    """With a comma at the end, over several lines."""
    assert skim(build_text("x", more), stem="x", path="x.md") is not None
    assert skim(build_text("x", more), stem="y", path="y.md") is None
