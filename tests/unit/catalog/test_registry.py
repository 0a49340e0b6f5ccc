"""Do agents come and go while others work, for everybody or for one tenant, and who may bring which?"""

import sys
from pathlib import Path

import pytest
from tests.unit.catalog.files import build_text, write

from quorate.catalog.load import load_catalog
from quorate.catalog.overlay import find_packages, overlay_agents
from quorate.catalog.registry import Registry
from quorate.errors import InvalidFiles, InvalidInput


def write_guest(directory: Path, name: str, *, more: str = "", tier: str = "task") -> Path:
    """An agent of a tier that others may bring."""
    return write(directory, name, build_text(name, more).replace('tier = "core"', f'tier = "{tier}"'))


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """Two agents."""
    write_guest(tmp_path / "agents", "one")
    write_guest(tmp_path / "agents", "two")
    return tmp_path / "agents"


def test_a_changed_file_is_taken_over(agents: Path) -> None:
    """What was handed out before stays as it was. part of row E2"""
    registry = Registry([agents], builtin=None)
    before = registry.catalog
    assert registry.refresh().added == ()
    write_guest(agents, "three")
    write_guest(agents, "two", more='tags = ["newer"]')
    (agents / "one.md").unlink()
    found = registry.refresh()
    assert (found.added, found.removed, found.changed, found.faults) == (("three",), ("one",), ("two",), ())
    assert (before.names(), registry.catalog.names()) == (("one", "two"), ("three", "two"))
    assert before.look_at("two").tags == ()


def test_broken_files_change_nothing(agents: Path) -> None:
    """They are told, and taken over once they are mended."""
    registry = Registry([agents], builtin=None)
    write(agents, "one", "+++\n")
    found = registry.refresh()
    assert [fault.rpartition("/")[2] for fault in found.faults] == [
        "one.md:1: the front matter is not closed; write a line `+++` below the TOML"
    ]
    assert registry.catalog.names() == ("one", "two")
    write_guest(agents, "one", more='tags = ["mended"]')
    assert registry.refresh().changed == ("one",)


def test_a_tenant_has_its_own_beside_what_everybody_has(agents: Path, tmp_path: Path) -> None:
    """Nobody else sees them; they may hand over to what is there."""
    tenants = tmp_path / "tenants"
    path = write_guest(tenants / "acme", "own")
    path.write_text(path.read_text() + "\n## Hand over\n\n- To `one`: always\n")
    registry = Registry([agents], builtin=None, tenants=tenants)
    assert registry.find_catalog("acme").names() == ("one", "own", "two")
    assert registry.find_catalog("acme") is registry.find_catalog("acme")
    assert registry.find_catalog("other") is registry.catalog
    assert registry.catalog.names() == ("one", "two")
    write_guest(tenants / "acme", "more")
    assert registry.find_catalog("acme").names() == ("more", "one", "own", "two")
    write_guest(agents, "three")
    registry.refresh()
    assert registry.find_catalog("acme").names() == ("more", "one", "own", "three", "two")


@pytest.mark.parametrize("tenant", ["..", "../acme", "a/b", "", "A", "."])
def test_a_tenant_is_a_name_and_no_path(agents: Path, tmp_path: Path, tenant: str) -> None:
    """Nothing is read outside the tenants' directory."""
    with pytest.raises(InvalidInput):
        Registry([agents], builtin=None, tenants=tmp_path).find_catalog(tenant)


@pytest.mark.parametrize(
    ("name", "more", "tier", "fault"),
    [
        ("own", "", "core", "own.md:4: agents from here may be `specialist`, `task`, `business`, and this one says"),
        ("one", "", "task", "one.md:2: `name` 'one' is a built-in's ("),
        ("one", "replaces = true", "task", "one.md:8: `replaces = true` is not allowed here"),
        ("own", 'tools = ["agent:two"]', "task", "own.md:8: a task agent may ask nobody, and 'two' is task"),
        ("own", 'tools = ["rm"]', "task", "own.md:8: there is no tool 'rm'; known: `look`"),
        ("own", 'module = "os"', "task", "own.md:8: there is no key `module`"),
        ("own", "trust = 9", "task", "own.md:8: there is no key `trust`"),
    ],
)
def test_guests_may_do_less(agents: Path, tmp_path: Path, name: str, more: str, tier: str, fault: str) -> None:
    """They do not lead, replace, ask above them, or name code. part of row E2"""
    base = load_catalog([agents], builtin=None)
    write_guest(tmp_path / "guests", name, more=more, tier=tier)
    with pytest.raises(InvalidFiles) as caught:
        overlay_agents(base, [tmp_path / "guests"], tools=["look"])
    assert any(line.rpartition("guests/")[2].startswith(fault) for line in caught.value.faults), caught.value.faults
    assert base.names() == ("one", "two")


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> Path:
    """A package on the path whose code must not run."""
    site = tmp_path / "site"
    (site / "acme_agents" / "files").mkdir(parents=True)
    (site / "acme_agents" / "__init__.py").write_text("raise SystemExit('run')\n")
    write_guest(site / "acme_agents" / "files", "packed")
    info = site / "acme_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-agents\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[quorate.agents]\nacme = {point}\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return site


def test_a_package_brings_agents_and_runs_nothing(
    agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry point is the place of a directory."""
    site = install(tmp_path, monkeypatch, "acme_agents.files")
    (place,) = find_packages(["acme-agents"])
    assert place == site / "acme_agents" / "files"
    assert overlay_agents(load_catalog([agents], builtin=None), [place]).names() == ("one", "packed", "two")
    assert "acme_agents" not in sys.modules


@pytest.mark.parametrize("point", ["acme_agents:main", "acme_agents.none", "..acme_agents", "acme_agents.files:x"])
def test_an_entry_point_names_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Nor a place outside the package."""
    install(tmp_path, monkeypatch, point)
    with pytest.raises(InvalidInput, match=r"is no directory of that package|has no entry points"):
        find_packages(["acme-agents"])


def test_a_package_that_is_not_there_is_told() -> None:
    """With its name."""
    with pytest.raises(InvalidInput, match="The package 'no-such-agents' is not installed"):
        find_packages(["no-such-agents"])
    with pytest.raises(InvalidInput, match="The package 'msgspec' has no entry points"):
        find_packages(["msgspec"])
