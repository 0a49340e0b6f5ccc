"""Are words and targets of a request read as a person means them?"""

import pytest

from quorate.catalog.language import find_features, read_request, stem, stem_words


@pytest.mark.parametrize(
    ("words", "stemmed"),
    [
        ("log logs logged logging", "log"),
        ("certificate certificates", "certificat"),
        ("process processes processing", "process"),
        ("memory memories", "memory"),
        ("resolve resolves resolving resolved", "resolv"),
        ("crash crashes crashed", "crash"),
        ("cpu cpus", "cpu"),
    ],
)
def test_forms_of_a_word_share_a_stem(words: str, stemmed: str) -> None:
    """Plural, past and progress."""
    assert {stem(word) for word in words.split()} == {stemmed}


@pytest.mark.parametrize("word", ["dns", "ping", "status", "access", "string", "this", "tls", "is"])
def test_words_that_only_look_like_forms_are_kept(word: str) -> None:
    """Short words and false plurals stay."""
    assert stem(word) == word


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("see http://127.0.0.1:8080/a.log?x=1", {"url"}),
        ("nats://localhost:4222", {"url"}),
        ("10.0.0.1 and ::1", {"address"}),
        ("[2001:db8::1]:443", {"address"}),
        ("localhost:8080", {"endpoint"}),
        ("at 12:30", set[str]()),
        ("src/app.py:12 and main.go", {"code"}),
        ("./var/app.log.1 or /var/log/syslog", {"log"}),
        ("/etc/nginx and ~/notes and the src/ folder", {"path"}),
        ("www.example.com", {"host"}),
        ("Traceback (most recent call last):", {"trace"}),
        ("and/or, TCP/IP, e.g. this. And that", set[str]()),
        ("version 1.2.3", set[str]()),
    ],
)
def test_targets_are_recognised(text: str, kinds: set[str]) -> None:
    """Each by its kind, so that its words do not count as words."""
    assert find_features(text) == kinds


def test_targets_are_no_words() -> None:
    """`network.log` says nothing about networks."""
    assert stem_words("the errors in /var/network/dns.log") == ("the", "error", "in")


def test_what_is_ruled_out_and_what_a_poem_is_about_is_left_out() -> None:
    """The words that remain are what is asked for."""
    assert read_request("check disks, not the network").words == ("check", "disk", "|", "|")
    reading = read_request("Please write a song about DNS. Is port 80 open?")
    assert (reading.words, reading.making) == (
        ("pleas", "writ", "a", "song", "|", "is", "port", "80", "open", "|"), ("writ", "song"),
    )  # fmt: skip


def test_phrases_of_another_sense_are_no_technical_words() -> None:
    """A log cabin has no log file."""
    assert read_request("a log cabin by the lake").words == ("a", "elsewher", "by", "the", "lake", "|")
