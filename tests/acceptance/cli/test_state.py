"""Do the commands about stored values do what they say, and refuse with a way out?"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.acceptance.cli.conftest import QUORATE, SLOW, Run

SCHEMAS = """
from msgspec import Struct
from quorate.state.schemas import StateSchema


class Cart(Struct):
    items: list[str]


def list_items(value):
    if value == "poison":
        raise ValueError("it cannot be a list")
    return {"items": [value]}


V1 = StateSchema(name="cart", type=str)
V2 = [StateSchema(name="cart", version=2, type=Cart, migrations={1: list_items})]
"""


def test_a_value_is_stored_shown_and_deleted(quorate: Run) -> None:
    """Between processes, as words and as JSON, from the line and from standard input."""
    done = quorate("state", "set", "rate", "5")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("rate has revision ")
    assert quorate("state", "get", "rate").out == "5\n"
    revision = quorate("state", "get", "rate", "--json").json["revision"]

    assert quorate("state", "set", "note", "--text", "5").code == 0
    assert quorate("state", "get", "note", "--json").json["value"] == "5"
    assert quorate("state", "set", "limits", stdin='{"a": [1, 2]}\n').code == 0
    assert quorate("state", "get", "limits").json == {"a": [1, 2]}

    done = quorate("state", "set", "rate", "6", "--if-revision", str(revision), "--json")
    assert done.json["value"] == 6
    newer = done.json["revision"]
    done = quorate("state", "set", "rate", "7", "--if-revision", str(revision))
    assert done.code == 2
    assert f"has revision {newer}, not {revision}: somebody else wrote first" in done.err

    assert quorate("state", "delete", "rate").out == "rate is deleted.\n"
    done = quorate("state", "get", "rate")
    assert done.code == 2
    assert "There is no state 'rate' of scope `tenant`: list what there is with `quorate state list" in done.err
    assert quorate("state", "delete", "rate").code == 2


def test_values_are_listed_by_owner(quorate: Run) -> None:
    """Which users there are, and what one of them has."""
    assert "Nothing is stored there" in quorate("state", "list").out
    for user, name in (("ann", "a"), ("ann", "b/1"), ("bob", "a")):
        assert quorate("state", "set", name, "1", "--scope", "user", "--id", user).code == 0
    assert quorate("state", "list", "-s", "user").out.split() == ["ann", "bob"]
    listed = json.loads(quorate("state", "list", "-s", "user", "--id", "ann", "--json").out)
    assert [one["name"] for one in listed] == ["a", "b/1"]
    done = quorate("state", "list", "b/", "-s", "user", "--id", "ann")
    assert done.out.startswith("b/1  revision ")
    done = quorate("state", "list", "-s", "user", "--id", "ann", "--limit", "1")
    assert "More: quorate state list --scope user --id ann --after a" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "x", "--scope", "usr", "--id", "a"], "There is no scope 'usr'. Did you mean `user`?"),
        (["get", "x", "--scope", "user"], "Scope `user` needs `--id`: say which user"),
        (["get", "x", "--id", "a"], "scope `tenant` takes no id: leave it out"),
        (["set", "../x", "1"], "state name '../x' is not one"),
        (["set", "x", '{"a": 1'], "begins like JSON and is none"),
        (["set", "x", "NaN"], "NaN is no JSON"),
        (["set", "password", "hunter2"], "so it is a secret: secrets are not stored"),
        (["set", "x", "1", "--ttl", "0"], "give seconds above 0"),
        (["migrate", "nowhere"], "does not say where schemas are"),
    ],
)
def test_what_cannot_be_is_refused(quorate: Run, words: list[str], said: str) -> None:
    """In one line that says what to do, with the code of wrong input."""
    done = quorate("state", *words)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_values_are_migrated_or_none_is(quorate: Run, project: Path) -> None:
    """With schemas of one's own; a failure names the value and leaves all as they were."""
    (project / "shop_schemas.py").write_text(SCHEMAS, encoding="utf-8")
    for number, value in enumerate(["tea", "poison", "salt"]):
        quorate("state", "set", f"cart/{number}", value)
    assert (
        quorate("state", "migrate", "shop_schemas:V1").out
        == "3 of 3 values were older and are of today's version now.\n"
    )
    done = quorate("state", "migrate", "shop_schemas:V2")
    assert done.code == 6
    assert "state 'cart/1' of scope `tenant`: the migration of schema 'cart' from version 1 to 2 failed" in done.err
    assert "Nothing is migrated: the values that had been (1) are as they were." in done.err
    assert quorate("state", "get", "cart/0").out == "tea\n"
    quorate("state", "delete", "cart/1")
    assert quorate("state", "migrate", "shop_schemas:V2", "--json").json == {"seen": 2, "changed": 2}
    assert quorate("state", "get", "cart/0").json == {"items": ["tea"]}


def test_changes_are_watched(quorate: Run, project: Path) -> None:
    """Another process changes and deletes; each is a line."""
    environment = {k: v for k, v in os.environ.items() if k != SLOW}
    watching = subprocess.Popen(
        [QUORATE, "state", "watch", "rate", "--count", "2", "--json"],
        cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stderr is not None
    try:
        assert watching.stderr.readline().startswith("Watching rate of scope `tenant`")
        quorate("state", "set", "rate", "5")
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert (first["name"], first["deleted"], first["entry"]["value"]) == ("rate", False, 5)
        quorate("state", "delete", "rate")
        out, _ = watching.communicate(timeout=30)
        assert json.loads(out)["deleted"] is True
        assert watching.returncode == 0
    finally:
        watching.kill()
        watching.wait()


def test_changes_are_in_the_audit_trail(quorate: Run) -> None:
    """Who changed what, and what was refused."""
    quorate("state", "set", "rate", "5")
    quorate("state", "set", "rate", "6", "--if-revision", "0")
    quorate("state", "delete", "rate")
    done = quorate("audit", "list", "--json")
    rows = json.loads(done.out)["rows"]
    found = [(row["action"], row["object"], row["outcome"]) for row in rows if row["action"].startswith("state.")]
    assert sorted(found) == [
        ("state.delete", "state/tenant/rate", "done"),
        ("state.set", "state/tenant/rate", "done"),
        ("state.set", "state/tenant/rate", "refused"),
    ]
