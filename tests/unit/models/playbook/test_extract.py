"""What does a request name?"""

import time

import pytest

from quorate.models.playbook.define import Kind, Target
from quorate.models.playbook.extract import extract_target, find_urls


def find(kind: Kind, text: str, *words: str) -> object:
    """All of a kind in a text."""
    return extract_target(Target(kind=kind, many=True, words=words), [text])


def test_a_url_is_taken_apart() -> None:
    """Names and passwords stay out, and the port is the scheme's where none is given."""
    assert find_urls("see (https://me:secret@shop.example/a/b?c=d), please!") == [
        {
            "url": "https://shop.example/a/b?c=d",
            "scheme": "https",
            "host": "shop.example",
            "port": 443,
            "path": "/a/b?c=d",
            "base": "https://shop.example/",
            "origin": "https://shop.example",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("url", "http://x:99999/ and http:/// and ftp://a.b", []),
        ("endpoint", "why can't I reach http://127.0.0.1:9?", [{"host": "127.0.0.1", "port": 9}]),
        ("endpoint", "it needs db:5432, [::1]:80.", [{"host": "db", "port": 5432}, {"host": "::1", "port": 80}]),
        ("endpoint", "at 12:30 main.py:33 said error:404, a:0 and b:70000", []),
        ("host", "ping web1, then shop.example.org and 10.0.0.1", ["10.0.0.1", "shop.example.org", "web1"]),
        ("host", "read app.log and main.py, it is 3.5 s", []),
        ("host", "x; rm -rf, -oProxyCommand=x", []),
        ("ip", "300.1.1.1, 10.0.0.7, fe80::1 and 12:30:45", ["10.0.0.7", "fe80::1"]),
        ("port", "ports 80, 443 and 8080; tcp/22, :9 and port 70000", [80, 443, 8080, 22, 9]),
        ("path", "logs are in /tmp/x/app.log, see ./a.txt and src/", ["/tmp/x/app.log", "./a.txt", "src/"]),
        ("path", "and/or client/server TCP/IP http://a/b.html", []),
        ("path", "review src/app and the code in lib, in this repository", ["src/app", "lib"]),
        ("path", "how full is / now?", ["/"]),
        ("path", 'open "/a b/c d.log"', ["/a b/c d.log"]),
        ("route", 'GET /slow?x=1 500; "POST /pay HTTP/1.1", path=/api/v1', ["/slow", "/pay", "/api/v1"]),
        ("service", "is service foo-bar up, or baz.service; the service is down", ["foo-bar", "baz"]),
        ("duration", "in the last 15 minutes, 1.5 h, 300ms, past day", [900.0, 5400.0, 0.3, 86400.0]),
        ("number", "above 90 % of 3.5, not 12:30 or 10.0.0.1", [90, 3.5]),
        ("text", "as it is", ["as it is"]),
    ],
)
def test_kinds(kind: Kind, text: str, found: list[object]) -> None:
    """What looks alike and is something else is left alone."""
    assert find(kind, text) == found


def test_words_choose_what_counts() -> None:
    """For words and services they are looked for; for numbers they stand beside."""
    assert find("word", "Is the DISK full?", "disk", "memory", "dis") == ["disk"]
    assert find("service", "is nginx up?", "nginx", "redis") == ["nginx"]
    assert find("number", "12 tests, threshold 90 %", "threshold") == [90]


def test_one_many_defaults_suffixes_and_limits() -> None:
    """The first or null; a list or an empty one; the declared default where there is nothing."""
    text = ["a.log b.txt c.log"]
    assert extract_target(Target(kind="path"), text) == "a.log"
    assert extract_target(Target(kind="path", many=True, suffixes=(".log",)), text) == ["a.log", "c.log"]
    assert extract_target(Target(kind="path", many=True, limit=1), text) == ["a.log"]
    assert extract_target(Target(kind="path"), []) is None
    assert extract_target(Target(kind="path", many=True), []) == []
    assert extract_target(Target(kind="path", many=True, default=["."]), []) == ["."]
    assert extract_target(Target(kind="duration", default=60.0), ["now"]) == 60.0


@pytest.mark.parametrize("piece", ["a/", "a.", "1,", "a:", "http://", "port ", "::", "(", "' ", "port 1 and "])
def test_hostile_text_is_read_in_time(piece: str) -> None:
    """Patterns stay quick on text made to slow them down."""
    text = piece * (100_000 // len(piece))
    began = time.process_time()
    for kind in ("url", "endpoint", "host", "ip", "port", "path", "route", "service", "duration", "number"):
        find(kind, text)
    assert time.process_time() - began < 5.0
