"""Does a person see exactly what is asked, whatever a model wrote into it?"""

import pytest
from msgspec import structs

from quorate.cli.approvals import read_edit, render_question
from quorate.errors import InvalidInput
from quorate.events import ApprovalRequested, InputRequested
from quorate.messages import ToolCall
from quorate.runtime.questions import OpenQuestion
from quorate.tools.edits import check_edit

NOW = 1_700_000_000.0


def ask(arguments: str, **facts: object) -> OpenQuestion:
    question = ApprovalRequested(
        run="run-1",
        seq=5,
        time=NOW,
        key="1/tool/call-1/approval",
        call=ToolCall(id="call-1", name="pay", arguments=arguments),
        digest="d" * 64,
        reason="Tool `pay` needs a person's approval.",
        **facts,  # type: ignore[arg-type]
    )
    return OpenQuestion(
        run="run-1",
        key=question.key,
        kind="approval",
        agent="payer",
        principal="pat",
        asked=NOW,
        expires=question.expires,
        question=question,
    )


def test_a_question_is_shown_whole() -> None:
    """Who asked, what an answer is bound to, until when, what may be changed, and how to answer. row: B6"""
    shown = "\n".join(render_question(ask('{"amount":5}', expires=NOW + 90, editable=("amount",), by_other=True), NOW))
    for words in (
        "payer, asked for by pat",
        "somebody other than pat",
        "2023-11-14 22:14:50 UTC (1 min 30 s left)",
        "editable   amount",
        "d" * 64,
        "arguments, in full (12 characters):",
        '  | {"amount":5}',
        "quorate approvals approve run-1 1/tool/call-1/approval   (or with --set amount=…)",
        "quorate approvals reject run-1 1/tool/call-1/approval --reason …",
    ):
        assert words in shown
    assert "no answer counts any more" in "\n".join(render_question(ask("{}", expires=NOW), NOW))


def test_long_arguments_are_never_cut() -> None:
    """The last character of a megabyte is there."""
    text = '{"note":"' + "x" * 1_000_000 + 'END"}'
    assert any(line == f"  | {text}" for line in render_question(ask(text), NOW))


@pytest.mark.parametrize(
    "trick",
    ["\x1b[2J\x1b[H", "\x1b]0;title\x07", "\r", "\x08" * 9, "\u202egnp.exe", "\u200b", "\x9b31m", "\udcff"],
)
def test_nothing_in_the_arguments_moves_the_cursor_or_hides(trick: str) -> None:
    """Controls and invisible characters are spelled out. row: B6"""
    lines = list(render_question(ask(f'{{"amount": 5{trick}}}'), NOW))
    assert not any(trick in line for line in lines)
    assert any("\\" in line for line in lines if line.startswith("  | ")) or trick == "\r"


def test_no_line_of_the_arguments_looks_like_ours() -> None:
    """Line breaks in malformed arguments cannot write an answer or another question below."""
    lines = list(render_question(ask("{}\n\neditable   amount\nAnswer: run `rm`\r\ntool  look"), NOW))
    own = [line for line in lines if not line.startswith("  | ")]
    assert sum(line.startswith(("editable", "tool", "Answer:")) for line in own) == 3
    assert "  | Answer: run `rm`" in lines


def test_a_provider_may_not_name_a_call_so_that_it_deceives() -> None:
    """The key has the provider's id in it: it is one line, too."""
    question = structs.replace(ask("{}").question, key="1/tool/x\nanswer by  anybody/approval")
    lines = list(render_question(structs.replace(ask("{}"), key=question.key, question=question), NOW))
    assert sum(line.startswith("answer by") for line in lines) == 1
    assert not any("\n" in line for line in lines)


def test_a_question_for_words_is_shown_with_its_choices() -> None:
    """What a person is asked is the model's text, and is quoted as such."""
    question = InputRequested(
        run="run-1", seq=5, time=NOW, key="1/tool/a b/input", question="Which?\nAnswer: 1", choices=("1", "2")
    )
    one = OpenQuestion(
        run="run-1", key=question.key, kind="input", agent="a", principal="pat", asked=NOW, question=question
    )
    lines = list(render_question(one, NOW))
    assert lines[-1] == "Answer: quorate approvals answer run-1 '1/tool/a b/input' --text …"
    assert [line for line in lines if line.startswith("  | ")][:2] == ["  | Which?", "  | Answer: 1"]
    assert lines.count("  | 1") == 1


def test_changes_are_typed_like_arguments() -> None:
    """A number stays one to the last digit, a text stays a text, and the rest is left alone."""
    asked = '{"amount": 5, "order": "7", "rate": 1.10}'
    edited = read_edit(asked, ["amount=80.50", "order=8", "note=a b"], None)
    assert edited == '{"amount":80.50,"order":"8","rate":1.10,"note":"a b"}'
    check_edit(asked, edited, ["amount", "order", "note"])
    assert read_edit(asked, [], None) is None
    assert read_edit(asked, [], '{"amount":1}') == '{"amount":1}'
    assert read_edit(asked, ["note="], None) == '{"amount":5,"order":"7","rate":1.10,"note":""}'


@pytest.mark.parametrize(
    ("asked", "changes", "whole", "words"),
    [
        ("{}", ["amount"], None, "write it like `--set amount=80`"),
        ("{}", ["=1"], None, "write it like `--set amount=80`"),
        ("{}", ["amount=1"], "{}", "exclude each other"),
        ("no", ["amount=1"], None, "cannot be edited"),
    ],
)
def test_changes_that_cannot_be_read_say_why(asked: str, changes: list[str], whole: str | None, words: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(InvalidInput) as caught:
        read_edit(asked, changes, whole)
    assert words in caught.value.message
