"""Is what people thought of an answer kept, listed and exported?"""

import json
from pathlib import Path


def test_feedback_is_kept_with_the_reply_it_is_about(quorate, project: Path) -> None:
    """A thumb, a correction and a comment, on a run and on one of its steps. row: A17"""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    assert quorate("feedback", "add", run, "--rating", "up", "--comment", "exactly right").out.startswith("Kept as fb-")
    words = ("--rating", "0.25", "--correction", "sdb is full", "--key", "1/model", "--label", "topic=disk", "--json")
    saved = quorate("feedback", "add", run, *words).json
    assert (saved["rating"], saved["key"], saved["labels"]) == (0.25, "1/model", {"topic": "disk"})
    listed = quorate("feedback", "list", run, "--json").json
    assert [one.get("comment", "") for one in listed["feedback"]] == ["exactly right", ""]
    assert listed["summary"]["rating"] == 0.625
    shown = quorate("feedback", "list").out
    assert "should be: sdb is full; topic=disk" in shown
    assert "2 entries, 0.62 on average of 2 ratings" in shown
    assert quorate("feedback", "export", "-o", "said.jsonl").code == 0
    lines = (project / "said.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["run"] for line in lines] == [run, run]
    assert quorate("feedback", "export").out.count("\n") == 2


def test_feedback_is_forgotten(quorate) -> None:
    """One, and then all of a run."""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    first = quorate("feedback", "add", run, "--rating", "down", "--json").json["id"]
    quorate("feedback", "add", run, "--comment", "and again")
    assert quorate("feedback", "delete", run, first).out == "1 deleted.\n"
    assert quorate("feedback", "delete", run, first).code == 2
    assert quorate("feedback", "delete", run, "--json").json == {"deleted": 1}
    assert quorate("feedback", "list", run).out == "There is no feedback.\n"


def test_what_says_nothing_is_refused(quorate) -> None:
    """And what is about nothing there is."""
    run = quorate("run", "watch the disk", "--json", "-q").json["run_id"]
    for words, said in (
        ((run,), "The feedback says nothing"),
        ((run, "--rating", "great"), "'great' is no rating: write `up`, `down`, or a number from 0 to 1."),
        ((run, "--rating", "up", "--key", "9/model"), "has no step '9/model'"),
        (("run-that-is-not", "--rating", "up"), "There is no run 'run-that-is-not'."),
    ):
        done = quorate("feedback", "add", *words)
        assert (done.code, said in done.err) == (2, True), done.err
