"""Does `quorate doctor` find each fault that was planted?"""

import sqlite3
from pathlib import Path

import pytest


def find(done, name: str) -> list[dict[str, str]]:
    return [check for check in done.json["checks"] if check["name"] == name]


def test_a_good_machine_has_no_faults(quorate) -> None:
    """Every check is listed, in words and as JSON; nothing is created by looking. row: C17"""
    done = quorate("doctor", "--json")
    assert done.code == 0, done.out
    assert done.json["ok"] is True
    names = {check["name"] for check in done.json["checks"]}
    assert {"python", "extra cel", "extra ops", "settings", "database", "disk", "model", "agents"} <= names
    assert {"program ping", "program traceroute", "program docker"} <= names
    assert "Everything that is needed is there." in quorate("doctor").out


def test_faults_of_settings_are_found(quorate, project: Path) -> None:
    """Each with its line; what depends on them is skipped, the rest is checked all the same. row: C17"""
    (project / "quorate.toml").write_text("modle = 'x'\nlog_level = 'loud'\n", encoding="utf-8")
    done = quorate("doctor", "--json")
    assert done.code == 1
    assert [check["detail"].split(":")[1] for check in find(done, "settings")] == ["1", "2"]
    assert find(done, "database")[0]["status"] == "skipped"
    assert find(done, "python")[0]["status"] == "ok"


def plant_no_directory(project: Path) -> None:
    (project / ".quorate").write_text("a file", encoding="utf-8")


def plant_foreign(project: Path) -> None:
    (project / ".quorate").mkdir()
    (project / ".quorate/quorate.db").write_text(
        "this is no database, and long enough to be looked at" * 50, encoding="utf-8"
    )


def plant_other_program(project: Path) -> None:
    (project / ".quorate").mkdir()
    with sqlite3.connect(project / ".quorate/quorate.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def plant_directory(project: Path) -> None:
    (project / ".quorate/quorate.db").mkdir(parents=True)


@pytest.mark.parametrize("plant", [plant_no_directory, plant_foreign, plant_other_program, plant_directory])
def test_a_database_that_cannot_be_used_is_found(quorate, project: Path, plant) -> None:
    """With the file's name; it is neither mended nor replaced. row: C17"""
    plant(project)
    done = quorate("doctor", "--json")
    assert done.code == 1
    assert find(done, "database")[0]["status"] == "fault"


def test_a_place_that_nobody_may_write_to_is_found(quorate) -> None:
    """A file system that takes no files. row: C17"""
    done = quorate("doctor", "--json", env={"QUORATE_DATABASE": "/proc/quorate.db"})
    assert done.code == 1
    found = find(done, "database")[0]
    assert found["status"] == "fault"
    assert "set `database`" in found["advice"]
    assert quorate("run", "watch the disk", env={"QUORATE_DATABASE": "/proc/quorate.db"}).code in {2, 6}


def test_a_locked_database_is_found(quorate, project: Path) -> None:
    """Another process holds it. row: C17"""
    assert quorate("run", "watch the disk", "-q").code == 0
    holder = sqlite3.connect(project / ".quorate/quorate.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        done = quorate("doctor", "--json")
    finally:
        holder.close()
    assert done.code == 1
    assert "locked" in find(done, "database")[0]["detail"]
    assert quorate("doctor").code == 0


def test_a_full_disk_is_found(quorate) -> None:
    """More room is asked for than any disk has. row: C17"""
    done = quorate("doctor", "--json", "--min-free-mb", "1000000000")
    assert done.code == 1
    assert find(done, "disk")[0]["status"] == "fault"
    assert "1000000000 are wanted" in find(done, "disk")[0]["detail"]


def test_a_model_without_its_key_is_found(quorate) -> None:
    """And one whose key is none for real. row: C17"""
    done = quorate("doctor", "--json", env={"QUORATE_MODEL": "openai:gpt-5.2"})
    assert done.code == 1
    assert "OPENAI_API_KEY" in find(done, "model")[0]["detail"]
    weak = quorate("doctor", "--json", env={"QUORATE_MODEL": "openai:gpt-5.2", "OPENAI_API_KEY": "changeme"})
    assert find(weak, "model")[0]["status"] == "warning"
    assert "changeme" not in weak.out


def test_missing_programs_are_found(quorate, tmp_path: Path) -> None:
    """Each is named with what happens without it; tools have another way, so that it is no fault. row: C17"""
    done = quorate("doctor", "--json", env={"PATH": str(tmp_path)})
    programs = [check for check in done.json["checks"] if check["name"].startswith("program ")]
    assert {check["status"] for check in programs} == {"warning"}
    assert all(check["advice"].startswith("install ") for check in programs)
    assert done.code == 0


def test_missing_extras_are_found(quorate, project: Path, tmp_path: Path) -> None:
    """With the line that installs them. row: C17"""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    hide = "import sys\nfor name in ('cel', 'psutil', 'dns'):\n    sys.modules[name] = None\n"
    (hidden / "sitecustomize.py").write_text(hide, encoding="utf-8")
    done = quorate("doctor", "--json", env={"PYTHONPATH": str(hidden)})
    assert done.code == 1
    assert find(done, "extra cel")[0]["status"] == "fault"
    assert find(done, "extra cel")[0]["advice"] == "pip install 'quorate[cel]'"
    assert find(done, "extra ops")[0]["status"] == "warning"


def test_bad_agent_files_are_found(quorate, project: Path) -> None:
    """All faults of all files, as `agents check` tells them. row: C17"""
    for name in ("one", "two"):
        (project / f"agents/{name}.md").write_text(f'+++\nname = "{name}"\ntols = []\n+++\nHello.\n', encoding="utf-8")
    done = quorate("doctor", "--json")
    assert done.code == 1
    details = [check["detail"] for check in find(done, "agents")]
    assert any("one.md" in detail and "tols" in detail for detail in details)
    assert any("two.md" in detail for detail in details)
    checked = quorate("agents", "check", "--json")
    assert checked.code == 2
    assert checked.json["faults"] == details
    assert "one.md:3: " in checked.err
