"""Do long texts and long conversations leave room for others, and is a conversation looked at once?"""

import asyncio
import time

from tests.unit.models.guards.samples import Talker, ask

from quorate.messages import Message, Text
from quorate.models.guarded import Guarded
from quorate.models.guards.chosen import Chosen, Record
from quorate.models.guards.guard import build_guards
from quorate.models.guards.incoming import MOST_CHARS, MOST_TEXTS, Incoming
from quorate.models.guards.placeholders import Placeholders, Restoring, restore
from quorate.models.guards.rules import PiiRule, SecretsRule, WordsRule
from quorate.models.guards.spans import Found, Scan, Span, unescape
from quorate.specs import Request

PIECE = "The quick brown fox wrote to someone@example.com about 17 dogs. "
RULES = (PiiRule(name="pii"), SecretsRule(name="s"), WordsRule(name="w", words=("zeus",), mode="lenient"))


async def test_others_have_their_turn_while_a_long_text_is_looked_at() -> None:
    """Half a megabyte in, half a megabyte out: nobody waits for all of it."""
    guarded = Guarded(Talker(PIECE * 8000), guards=build_guards(RULES))
    turns = 0
    done = asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(count())
        reply = await guarded.complete(ask(PIECE * 8000))
        done.set()
    assert turns > 30
    assert "someone@" not in reply.message.text.replace("[EMAIL]", "")


class Slow:
    """A finder that counts how often it is asked."""

    def __init__(self) -> None:
        self.scans = 0

    def scan(self, text: str, start: int) -> tuple[list[Span], int]:
        self.scans += 1
        return [], len(text)


async def test_what_was_looked_at_is_not_looked_at_again() -> None:
    """Each turn of a conversation costs its own words alone; what is remembered is bounded."""
    guards = build_guards((PiiRule(name="pii"),))
    incoming = Incoming(Chosen(guards, "input"))
    history = tuple(Message(role="user", parts=(Text(text=f"{PIECE} {number}"),)) for number in range(MOST_TEXTS + 50))
    request = Request(messages=history)
    await incoming.screen(request, Record(request, None))
    last = Request(messages=history[-100:])
    begun = time.process_time()
    screened = await incoming.screen(last, Record(request, None))
    again = time.process_time() - begun
    begun = time.process_time()
    await Incoming(Chosen(guards, "input")).screen(last, Record(request, None))
    assert again < (time.process_time() - begun) / 2, "it costs as much as looking for the first time"
    assert screened.values == {"[EMAIL_1]": "someone@example.com"}
    assert len(incoming._known) <= MOST_TEXTS  # the bound itself
    assert incoming._chars <= MOST_CHARS


def test_a_scan_keeps_only_what_it_must() -> None:
    """However long a text becomes, what is held is short."""
    finder = Slow()
    scan = Scan((finder,))
    for _ in range(1000):
        assert scan.feed("x" * 100) == ["x" * 100]
    assert len(scan._text) <= 64
    assert scan.finish() == []


def test_what_is_strict_is_told_first_though_something_overlaps_it() -> None:
    """A longer find of another guard does not hide it."""

    class Fixed:
        def __init__(self, *spans: Span) -> None:
            self.spans = spans

        def scan(self, text: str, start: int) -> tuple[list[Span], int]:
            return [span for span in self.spans if span.start >= start and span.end <= len(text)], len(text)

    strict, moderate = Fixed(Span(3, 5, "A", 3)), Fixed(Span(1, 8, "B", 1))
    pieces = Scan((strict, moderate), strict=1).finish("0123456789")
    assert pieces == [Found("34", "A", 0), "0", Found("1234567", "B", 1), "89"]


def test_placeholders_are_stable_and_their_own() -> None:
    """The same value has the same one, another label another, and none is taken from a text."""
    placeholders = Placeholders(lambda: ["I said [EMAIL_1] and [KEY_2]"])
    assert placeholders.replace("a@b.co", "EMAIL", restore=True) == "[EMAIL_2]"
    assert placeholders.replace("a@b.co", "EMAIL", restore=True) == "[EMAIL_2]"
    assert placeholders.replace("c@d.co", "EMAIL", restore=False) == "[EMAIL_3]"
    assert placeholders.replace("a@b.co", "KEY", restore=True) == "[KEY_1]"
    assert placeholders.values == {"[EMAIL_2]": "a@b.co", "[KEY_1]": "a@b.co"}


def test_placeholders_come_back_whatever_the_pieces() -> None:
    """Held back while one may be under way, and not a character longer."""
    values = {"[EMAIL_1]": "a@b.co", "[KEY_12]": 'say "x"\n'}
    text = "[[EMAIL_1] [EMAIL_2] [KEY_12] [key_12] [EMAIL_"
    for size in range(1, 12):
        restoring = Restoring(values)
        pieces = [restoring.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert "".join(pieces) + restoring.finish() == '[a@b.co [EMAIL_2] say "x"\n [key_12] [EMAIL_'
    assert Restoring(values).feed("plain [x") == "plain [x"
    assert restore('"[KEY_12]"', values, json=True) == '"say \\"x\\"\\n"'


def test_escapes_become_what_they_stand_for() -> None:
    """Save those that JSON needs, and what only looks like one."""
    assert unescape(r"\u0041\/\u00fc\ud83d\ude00") == "A/ü😀"
    assert unescape(r"\u0022 \u005c \u000a \n \" \\u0041 \ud800") == r"\u0022 \u005c \u000a \n \" \\u0041 \ud800"
