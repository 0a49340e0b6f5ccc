"""Do agents travel in packs, and is a pack that somebody changed, swapped or made up never opened?"""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from tests.unit.catalog.files import build_text, write

from quorate.catalog.load import load_catalog
from quorate.catalog.overlay import overlay_agents
from quorate.catalog.packs import (
    Pack,
    build_pack,
    install_pack,
    name_digest,
    open_pack,
    publish_pack,
    pull_pack,
    read_directory,
    sign_pack,
)
from quorate.errors import InvalidFiles, InvalidInput, NotFound

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A pack of two agents."""
    for name in ("packed", "money/counted"):
        path = write(tmp_path / "agents", name)
        path.write_text(build_text(path.stem).replace('tier = "core"', 'tier = "task"'))
    return build_pack(tmp_path / "agents", name="acme", version="1.0")


def test_a_pack_goes_out_and_comes_in(tmp_path: Path, content: bytes) -> None:
    """Published, pulled by its pinned digest, put into a directory, and laid over what is there. part of row D2"""
    index = tmp_path / "index"
    reference = publish_pack(content, index)
    assert reference == f"acme@1.0#sha256:{name_digest(content)}"
    assert publish_pack(content, index) == reference
    pack = pull_pack(reference, read_directory(index))
    place = install_pack(pack, tmp_path / "installed")
    assert install_pack(pack, tmp_path / "installed") == place
    assert [path.name for path in (tmp_path / "installed").iterdir()] == ["acme@1.0"]
    assert overlay_agents(load_catalog(builtin=None), [place]).names() == ("counted", "packed")


def test_the_same_files_give_the_same_pack(tmp_path: Path, content: bytes) -> None:
    """So that a digest can be told by anybody."""
    assert build_pack(tmp_path / "agents", name="acme", version="1.0") == content
    assert build_pack(tmp_path / "agents", name="acme", version="1.1") != content


def test_a_trusted_key_speaks_for_a_pack(tmp_path: Path, content: bytes) -> None:
    """Without a digest; nobody else's does."""
    signature, other = sign_pack(content, KEY), sign_pack(content, OTHER_KEY)
    publish_pack(content, tmp_path, signature=signature)
    assert pull_pack("acme@1.0", read_directory(tmp_path), keys=[signature.key]).name == "acme"
    with pytest.raises(InvalidInput, match="which is not one of those trusted"):
        pull_pack("acme@1.0", read_directory(tmp_path), keys=[other.key])
    mixed = structs.replace(other, key=signature.key)
    for wrong in (mixed, structs.replace(signature, signature="AAAA"), structs.replace(signature, signature="*")):
        with pytest.raises(InvalidInput, match="The signature of the pack does not fit it"):
            open_pack(content, signature=wrong, keys=[signature.key])
    with pytest.raises(InvalidInput, match="The pack is not signed"):
        open_pack(content, digest=name_digest(content), keys=[signature.key])


def test_nothing_is_opened_that_nothing_speaks_for(tmp_path: Path, content: bytes) -> None:
    """Neither a digest nor a key: no pack."""
    publish_pack(content, tmp_path, signature=sign_pack(content, KEY))
    with pytest.raises(InvalidInput, match="Nothing speaks for this pack: pin its SHA-256"):
        pull_pack("acme@1.0", read_directory(tmp_path))


def test_a_changed_pack_is_told(tmp_path: Path, content: bytes) -> None:
    """By its digest and by its signature."""
    changed = content.replace(b"Look at the thing.", b"Look at my thing..")
    assert len(changed) == len(content)
    with pytest.raises(InvalidInput, match="The pack is not the one that was meant"):
        open_pack(changed, digest=name_digest(content))
    signature = sign_pack(content, KEY)
    with pytest.raises(InvalidInput, match="The signature of the pack does not fit it"):
        open_pack(changed, signature=signature, keys=[signature.key])
    publish_pack(content, tmp_path)
    with pytest.raises(InvalidInput, match=r"There is '1\.0\.pack' already, and it is another"):
        publish_pack(changed, tmp_path)


@pytest.mark.parametrize(
    "path",
    ["../x.md", "/x.md", "x.py", "a/../x.md", "x.md/y.md", "X.md", ".x.md", "a//x.md", "a/b/c/d/e/x.md", "x.md\n"],
)
def test_a_pack_holds_agent_files_alone(path: str) -> None:
    """Nothing is written beside its own directory, and no code."""
    content = msgspec.msgpack.encode(Pack(name="acme", version="1", files={path: b""}))
    with pytest.raises(InvalidInput, match="which is none of agents: it is not opened"):
        open_pack(content, digest=name_digest(content))


@pytest.mark.parametrize("content", [b"", b"\x00", b"{}", msgspec.msgpack.encode({"name": "x"})])
def test_what_is_no_pack_is_told(content: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(InvalidInput, match="This is no pack of agents"):
        open_pack(content, digest=name_digest(content))


@pytest.mark.parametrize("reference", ["acme", "acme@", "../acme@1", "acme@../1", "acme@1#sha256:ab", "acme@1 ", ""])
def test_a_reference_is_no_path(tmp_path: Path, reference: str) -> None:
    """It names a pack."""
    with pytest.raises(InvalidInput):
        pull_pack(reference, read_directory(tmp_path))


def test_an_index_cannot_give_another_pack(tmp_path: Path, content: bytes) -> None:
    """A signed pack under another's name is not taken for that."""
    signature = sign_pack(content, KEY)
    publish_pack(content, tmp_path, signature=signature)
    (tmp_path / "acme").rename(tmp_path / "bank")
    with pytest.raises(InvalidInput, match=r"The index gave acme@1\.0 for bank@1\.0"):
        pull_pack("bank@1.0", read_directory(tmp_path), keys=[signature.key])
    with pytest.raises(NotFound, match=r"There is no 'acme/1\.0\.pack'"):
        pull_pack(f"acme@1.0#sha256:{'0' * 64}", read_directory(tmp_path))


def test_broken_files_are_not_packed(tmp_path: Path) -> None:
    """Whoever packs them is told."""
    write(tmp_path, "x", more="tir = 1")
    with pytest.raises(InvalidFiles, match="there is no key `tir`"):
        build_pack(tmp_path, name="acme", version="1")
    with pytest.raises(InvalidInput, match="'1/2' is no version of a pack"):
        build_pack(tmp_path, name="acme", version="1/2")


def test_what_is_installed_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    """Files that somebody changed in place are told, and kept."""
    pack = open_pack(content, digest=name_digest(content))
    place = install_pack(pack, tmp_path)
    (place / "packed.md").write_text("mine")
    with pytest.raises(InvalidInput, match="already, with other files: take it away first"):
        install_pack(pack, tmp_path)
    assert (place / "packed.md").read_text() == "mine"
