"""Can a program act on every error, and a person too?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.QuorateError) and value is not errors.QuorateError
]
EXPECTED = {
    "InvalidInput": ("invalid_input", False),
    "UnknownName": ("invalid_input", False),
    "InvalidFiles": ("invalid_input", False),
    "MissingExtra": ("missing_extra", False),
    "Unauthenticated": ("unauthenticated", False),
    "Forbidden": ("forbidden", False),
    "BlockedByPolicy": ("blocked_by_policy", False),
    "NotFound": ("not_found", False),
    "Conflict": ("conflict", False),
    "Fenced": ("conflict", False),
    "TooLarge": ("too_large", False),
    "RateLimited": ("rate_limited", True),
    "UpstreamError": ("upstream_error", False),
    "Unavailable": ("unavailable", True),
    "DeadlineExceeded": ("deadline_exceeded", False),
    "StorageFull": ("storage_full", True),
    "BudgetExceeded": ("budget_exceeded", False),
    "Incomplete": ("incomplete", False),
    "Cancelled": ("cancelled", False),
    "Waiting": ("waiting", False),
    "CorruptState": ("corrupt_state", False),
    "Incompatible": ("incompatible", False),
    "Nondeterministic": ("nondeterministic", False),
    "ToolError": ("tool_error", False),
}
PLAIN = [kind for kind in CLASSES if kind.__init__ is errors.QuorateError.__init__]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_says_whether_to_retry(kind: type[errors.QuorateError]) -> None:
    """Every public error derives from one base, with its code and whether a retry may help. row: C5"""
    assert issubclass(kind, errors.QuorateError)
    assert kind.__name__ in (errors.__doc__ or ""), "draw it in the tree at the top of `errors`"
    if kind.__name__ in EXPECTED:
        assert (kind.code, kind.retryable) == EXPECTED[kind.__name__]
    assert kind.code.isascii()
    assert kind.code == kind.code.lower() != "error"


def test_no_error_was_removed() -> None:
    assert set(EXPECTED) <= {kind.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_a_message_and_facts_are_kept(kind: type[errors.QuorateError]) -> None:
    """The sentence for people and the facts for programs travel together. row: C5"""
    error = kind("It broke.", run="run-1", seq=4)
    assert (error.message, str(error)) == ("It broke.", "It broke.")
    assert error.context == {"run": "run-1", "seq": 4}


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_without_a_message_the_class_says_it(kind: type[errors.QuorateError]) -> None:
    error = kind()
    assert error.message == (kind.__doc__ or "").split("\n", 1)[0]
    assert error.message
    assert error.context == {}


def test_the_cause_is_kept() -> None:
    """A foreign error is mapped once, and stays visible."""

    def fail() -> None:
        try:
            int("x")
        except ValueError as error:
            raise errors.InvalidInput("not a number") from error

    with pytest.raises(errors.InvalidInput) as caught:
        fail()
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_unknown_name_suggests_the_nearest_and_lists_the_choices() -> None:
    error = errors.UnknownName("agent", "netwrok", ["network", "logs"], hint="See `quorate agents list`.")
    assert error.message == (
        "There is no agent 'netwrok'. Did you mean `network`? Known: `logs`, `network`. See `quorate agents list`."
    )
    assert error.context == {"what": "agent", "name": "netwrok", "nearest": "network"}


def test_an_unknown_name_far_from_all_suggests_nothing() -> None:
    error = errors.UnknownName("tool", "zzz", ["ping"])
    assert error.message == "There is no tool 'zzz'. Known: `ping`."
    assert error.context["nearest"] is None


def test_an_unknown_name_among_none_says_only_that() -> None:
    assert errors.UnknownName("model", "gpt").message == "There is no model 'gpt'."


def test_many_choices_are_counted_not_poured_out() -> None:
    error = errors.UnknownName("agent", "x", [f"agent-{n:02}" for n in range(15)])
    assert "`agent-11` and 3 more." in error.message
    assert "agent-12" not in error.message


@given(st.text(max_size=30), st.lists(st.text(max_size=10), max_size=20))
def test_any_name_can_be_unknown(name: str, choices: list[str]) -> None:
    """The message always quotes what was asked for, whatever it is."""
    assert repr(name) in errors.UnknownName("agent", name, choices).message


def test_invalid_files_lists_every_fault() -> None:
    """All faults of all files come at once."""
    error = errors.InvalidFiles("agent files", (fault for fault in ["a.md:3: no name", "b.md:1: no front matter"]))
    assert error.message == "2 faults in agent files:\n  a.md:3: no name\n  b.md:1: no front matter"
    assert error.faults == ("a.md:3: no name", "b.md:1: no front matter")
    assert errors.InvalidFiles("agent files", ["a"]).message.startswith("1 fault in")


def test_a_missing_extra_says_what_to_install() -> None:
    error = errors.MissingExtra("`quorate run`", "cli")
    assert error.message == "`quorate run` needs the extra `cli`: pip install 'quorate[cli]'"
    assert error.context == {"feature": "`quorate run`", "extra": "cli"}


def test_a_rate_limit_says_when_to_come_back() -> None:
    error = errors.RateLimited("slow down", retry_after_s=1.5, provider="x")
    assert (error.retry_after_s, error.retryable) == (1.5, True)
    assert error.context == {"retry_after_s": 1.5, "provider": "x"}
    assert errors.RateLimited().retry_after_s is None


def test_an_upstream_error_says_whether_a_retry_may_help() -> None:
    """Retrying depends on what the provider said, not on the class. row: C5"""
    assert errors.UpstreamError("bad request", status=400).retryable is False
    error = errors.UpstreamError("overloaded", status=503, retryable=True)
    assert (error.status, error.retryable, error.context) == (503, True, {"status": 503})
