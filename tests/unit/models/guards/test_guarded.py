"""Does nothing forbidden go to a model or come from it, and does everything else pass?"""

from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.guards.samples import Talker, ask, said

from quorate.errors import BlockedByPolicy, Incomplete
from quorate.messages import (
    AnyPart,
    Embeddings,
    Message,
    Reply,
    ReplyDone,
    StreamItem,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)
from quorate.models.guarded import Guarded, GuardedEmbedder
from quorate.models.guards.guard import Finding, GuardFunction, Inspection, build_guards
from quorate.models.guards.rules import (
    FunctionRule,
    GuardRule,
    PatternsRule,
    PiiRule,
    SchemaRule,
    SecretsRule,
    SizeRule,
    WordsRule,
)
from quorate.specs import EmbedRequest, Request

PII = PiiRule(name="pii")
STRICT = PiiRule(name="pii", mode="strict")
LENIENT = PiiRule(name="pii", mode="lenient")
WORDS = WordsRule(name="words", words=("virus", "bad word"), mode="strict")


def guard(model: Talker, *rules: GuardRule, found: list[Finding] | None = None, **functions: GuardFunction) -> Guarded:
    report = None if found is None else found.append
    return Guarded(model, guards=build_guards(rules, functions=functions), report=report)


async def read(model: Guarded, request: Request) -> tuple[str, str, str, ReplyDone | None]:
    """The words, the reasoning, the arguments and the end of a stream, as far as it comes."""
    text, thinking, arguments, done = "", "", "", None
    async for item in model.stream(request):
        if isinstance(item, TextDelta):
            text += item.text
        elif isinstance(item, ThinkingDelta):
            thinking += item.text
        elif isinstance(item, ToolCallDelta):
            arguments += item.arguments
        else:
            done = item
    return text, thinking, arguments, done


async def collect(model: Guarded, request: Request, items: list[StreamItem]) -> None:
    """Read a stream, keeping what came before a failure."""
    async for item in model.stream(request):
        items.append(item)


async def test_strict_blocks_and_names_the_guard() -> None:
    """The model is not asked, the error says which guard and what kind, and never the text. row: A17"""
    model, found = Talker("hi"), list[Finding]()
    with pytest.raises(BlockedByPolicy) as caught:
        await guard(model, STRICT, found=found).complete(ask("I am alice@example.com"))
    assert caught.value.message == "The guard 'pii' blocked the input: email."
    assert caught.value.context == {"guard": "pii", "side": "input", "reason": "email"}
    assert model.requests == []
    assert [(one.guard, one.side, one.action, one.reason, one.caller.run, one.key) for one in found] == [
        ("pii", "input", "blocked", "email", "run-1", "1/model")
    ]


async def test_strict_blocks_an_answer_too() -> None:
    """What the model says is looked at in the same way."""
    with pytest.raises(BlockedByPolicy, match=r"^The guard 'words' blocked the output: word\.$"):
        await guard(Talker("This is a VIRUS!"), WORDS).complete(ask("hi"))


async def test_moderate_redacts_restores_and_warns() -> None:
    """The model never sees the address; who asked sees it again, with a note of what was done. row: A17"""
    model, found = Talker("I wrote to [EMAIL_1], not to [EMAIL_2]."), list[Finding]()
    reply = await guard(model, PII, found=found).complete(ask("Write to alice@example.com", "alice@example.com!"))
    assert said(model.requests[0]) == "Write to [EMAIL_1]\n[EMAIL_1]!"
    assert reply.message.text == "I wrote to alice@example.com, not to [EMAIL_2]."
    assert reply.notes == ("pii: 2 × email in the input, redacted",)
    assert [(one.action, one.count) for one in found] == [("redacted", 2)]


async def test_moderate_redacts_what_the_model_says_of_others() -> None:
    """An address that did not come from the asker is taken out of the answer."""
    reply = await guard(Talker("Ask bob@example.com."), PII).complete(ask("Whom?"))
    assert reply.message.text == "Ask [EMAIL]."
    assert reply.notes == ("pii: email in the output, redacted",)


async def test_lenient_takes_note_alone() -> None:
    """Everything passes, and the reply says what passed."""
    model = Talker("Ask bob@example.com.")
    text, _, _, done = await read(guard(model, LENIENT), ask("I am alice@example.com"))
    assert said(model.requests[0]) == "I am alice@example.com"
    assert text == "Ask bob@example.com."
    assert done is not None
    assert done.reply.notes == ("pii: email in the input, let pass", "pii: email in the output, let pass")


async def test_arguments_of_tools_are_restored_as_json() -> None:
    """What comes back into JSON is written as JSON's strings are."""
    key = "-----BEGIN PRIVATE KEY-----\nabcd\n-----END PRIVATE KEY-----"
    call = ToolCall(id="1", name="save", arguments='{"key":"[PRIVATE_KEY_1]","to":"[EMAIL_1]"}')
    model = Talker(call)
    guarded = guard(model, PII, SecretsRule(name="secrets"))
    request = ask(f"Save {key} for alice@example.com")
    wanted = '{"key":"-----BEGIN PRIVATE KEY-----\\nabcd\\n-----END PRIVATE KEY-----","to":"alice@example.com"}'
    assert (await guarded.complete(request)).message.tool_calls[0].arguments == wanted
    assert said(model.requests[0]) == "Save [PRIVATE_KEY_1] for [EMAIL_1]"
    _, _, arguments, done = await read(guarded, request)
    assert arguments == wanted
    assert done is not None
    assert done.reply.message.tool_calls[0].arguments == wanted


async def test_results_of_tools_and_what_was_said_before_are_redacted() -> None:
    """Numbers in JSON become strings, escapes hide nothing, and a conversation keeps its placeholders."""
    messages = (
        *ask("Find alice@example.com").messages,
        Message(
            role="assistant",
            parts=(
                Thinking(text="[EMAIL_1] it is", signature="s"),
                ToolCall(id="1", name="find", arguments='{"mail":"alice@example.com"}'),
            ),
        ),
        Message(
            role="tool",
            parts=(
                ToolResult(call_id="1", name="find", content='{"card":4111111111111111,"x":"bob\\u0040example.com"}'),
                ToolResult(call_id="2", name="find", content=(Text(text="carol@example.com"),)),
            ),
        ),
    )
    model = Talker("ok")
    await guard(model, PII).complete(Request(messages=messages))
    sent = model.requests[0].messages
    assert sent[1].parts[0] == messages[1].parts[0]
    assert sent[1].tool_calls[0].arguments == '{"mail":"[EMAIL_1]"}'
    assert [part.content for part in sent[2].parts if isinstance(part, ToolResult)] == [
        '{"card":"[CARD_1]","x":"[EMAIL_2]"}',
        (Text(text="[EMAIL_3]"),),
    ]


async def test_what_nothing_was_found_in_goes_out_as_it_is() -> None:
    """The very request, not a copy."""
    model, request = Talker("ok"), ask("Hello")
    await guard(model, PII, WORDS).complete(request)
    assert model.requests[0] is request


async def test_what_looks_like_a_placeholder_already_is_not_one_of_ours() -> None:
    """Somebody who writes `[EMAIL_1]` cannot have another's address put there."""
    model = Talker("[EMAIL_1] and [EMAIL_2]")
    reply = await guard(model, PII).complete(ask("What is [EMAIL_1]?", "I am alice@example.com"))
    assert said(model.requests[0]) == "What is [EMAIL_1]?\nI am [EMAIL_2]"
    assert reply.message.text == "[EMAIL_1] and alice@example.com"


async def test_what_the_model_said_before_does_not_block() -> None:
    """An answer that was let out is not held against the next question, but does not go out bare where it may not."""
    before = Message(role="assistant", parts=(Text(text="Ask bob@example.com"),))
    request = Request(messages=(before, *ask("And now?").messages))
    model = Talker("ok")
    await guard(model, STRICT).complete(request)
    assert model.requests[0] is request
    await guard(model, PII).complete(request)
    assert model.requests[1].messages[0].text == "Ask [EMAIL_1]"


async def test_a_rule_stands_for_its_tenants() -> None:
    """Others are not held by it."""
    guarded = guard(Talker("ok"), WordsRule(name="words", words=("virus",), mode="strict", tenants=("acme",)))
    with pytest.raises(BlockedByPolicy):
        await guarded.complete(ask("virus"))
    assert (await guarded.complete(ask("virus", tenant="other"))).message.text == "ok"


async def test_a_rule_stands_on_its_side() -> None:
    """A rule about answers does not look at questions, and the other way round."""
    guarded = guard(Talker("ok"), WordsRule(name="words", words=("virus",), mode="strict", on="output"))
    assert (await guarded.complete(ask("virus"))).message.text == "ok"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("virus", "a VIRUS b"),
        ("virus", "v\u200bi\u00adrus"),
        ("virus", "ｖｉｒｕｓ"),
        ("bad word", "bad \n\t word"),
        ("straße", "STRASSE"),
        ("病毒", "这是病毒吗"),
        ("c++", "in C++."),
    ],
)
async def test_words_are_found_however_they_are_written(word: str, text: str) -> None:
    """Case, width, spaces and invisible characters hide nothing."""
    with pytest.raises(BlockedByPolicy):
        await guard(Talker("ok"), WordsRule(name="w", words=(word,), mode="strict")).complete(ask(text))


async def test_parts_of_words_are_found_only_where_that_is_asked_for() -> None:
    """`art` is not in `party`, unless a rule says so."""
    rule = WordsRule(name="w", words=("art",), mode="strict")
    assert (await guard(Talker("ok"), rule).complete(ask("party artful"))).message.text == "ok"
    rule = WordsRule(name="w", words=("art",), mode="strict", whole_words=False)
    with pytest.raises(BlockedByPolicy):
        await guard(Talker("ok"), rule).complete(ask("party"))


async def test_patterns_are_found() -> None:
    """Expressions of RE2's language, redacted or blocked like everything else."""
    rule = PatternsRule(name="tickets", patterns=(r"\bTICKET-\d{1,8}\b",), on="output")
    reply = await guard(Talker("See ticket-42, TICKET-x."), rule).complete(ask("hi"))
    assert reply.message.text == "See [PATTERN], TICKET-x."


async def test_size_is_bounded_on_both_sides() -> None:
    """A strict bound blocks, in a stream as soon as it is passed; a moderate one is a note."""
    rule = SizeRule(name="size", max_chars=10, mode="strict")
    with pytest.raises(BlockedByPolicy, match="more than 10 characters"):
        await guard(Talker("ok"), rule).complete(ask("x" * 11))
    model, items = Talker("y" * 100), list[StreamItem]()
    with pytest.raises(BlockedByPolicy, match="blocked the output"):
        await collect(guard(model, rule), ask("hi"), items)
    assert items == [TextDelta("yyy")] * 3
    assert model.given == 4
    reply = await guard(Talker("y" * 11), SizeRule(name="size", max_chars=10)).complete(ask("hi"))
    assert reply.notes == ("size: more than 10 characters in the output, let pass",)


async def test_an_answer_is_held_to_a_schema() -> None:
    """A strict one gives nothing out before it has seen all; the block says where, and not what."""
    schema: dict[str, object] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    rule = SchemaRule(name="shape", json_schema=schema, mode="strict")
    model = guard(Talker('{"n": "secret"}'), rule)
    items: list[StreamItem] = []
    with pytest.raises(BlockedByPolicy, match=r"as `\$\.n` is not of type integer"):
        await collect(model, ask("hi"), items)
    assert items == []
    text, _, _, done = await read(guard(Talker('{"n": 7}'), rule), ask("hi"))
    assert text == '{"n": 7}'
    assert done is not None


async def test_a_function_guards() -> None:
    """Plain or async, with the whole request and answer before it."""
    seen: list[tuple[str, str, str]] = []

    def check(inspection: Inspection) -> str | None:
        seen.append((inspection.side, inspection.text, inspection.request.caller.tenant))
        return "too\n polite. " if inspection.side == "output" else None

    async def check_later(inspection: Inspection) -> str | None:
        return "no reply" if inspection.side == "output" and inspection.reply is None else None

    rules = (
        FunctionRule(name="tone", function="check", mode="strict"),
        FunctionRule(name="later", function="check_later"),
    )
    with pytest.raises(BlockedByPolicy, match=r"^The guard 'tone' blocked the output: too polite\.$"):
        await guard(Talker("please"), *rules, check=check, check_later=check_later).complete(ask("hi"))
    assert seen == [("input", "hi", "acme"), ("output", "please", "acme")]


@pytest.mark.parametrize("mode", ["strict", "moderate", "lenient"])
async def test_a_guard_that_fails_blocks_in_every_mode(mode: str) -> None:
    """Fail closed: an exception, a wrong answer and a late one all block, and say that the guard failed."""

    def broken(inspection: Inspection) -> str | None:
        raise ZeroDivisionError(inspection.text)

    def wrong(_: Inspection) -> str | None:
        return 7  # type: ignore[return-value]

    for name, error in (("broken", "ZeroDivisionError"), ("wrong", "TypeError")):
        found: list[Finding] = []
        rule = FunctionRule(name="mine", function=name, mode=mode)  # type: ignore[arg-type]
        with pytest.raises(BlockedByPolicy) as caught:
            await guard(Talker("ok"), rule, found=found, broken=broken, wrong=wrong).complete(ask("secret"))
        assert caught.value.message == (
            f"The guard 'mine' could not look at the input ({error}), so it is blocked: mend the guard."
        )
        assert [one.action for one in found] == ["failed"]


async def test_a_finder_that_fails_blocks() -> None:
    """Text that an expression cannot be looked for in is not let pass."""
    rule = PatternsRule(name="p", patterns=("x",), on="output", mode="lenient")
    with pytest.raises(BlockedByPolicy, match="could not look at the output"):
        await guard(Talker("\ud800"), rule).complete(ask("hi"))
    rule = PatternsRule(name="p", patterns=("x",), on="output")
    with pytest.raises(BlockedByPolicy, match="could not look at the output"):
        await read(guard(Talker("a\ud800", size=1), rule), ask("hi"))


async def test_deltas_keep_flowing() -> None:
    """Of ordinary words no more than the last one is held back."""
    text = "The quick brown fox jumps over the lazy dog, and then 12 more times. " * 3
    model = Talker(text, size=4)
    given = 0
    async for item in guard(model, PII, SecretsRule(name="s"), WORDS).stream(ask("hi")):
        if isinstance(item, TextDelta):
            given += len(item.text)
            assert model.given * 4 - given <= 16
    assert given == len(text)


async def test_words_before_a_block_are_given_out_and_nothing_of_it() -> None:
    """A block in the middle of a stream ends it before the first forbidden character."""
    items: list[StreamItem] = []
    model = guard(Talker("All fine so far, but bad  word here", size=2), WORDS)
    with pytest.raises(BlockedByPolicy):
        await collect(model, ask("hi"), items)
    assert "".join(item.text for item in items if isinstance(item, TextDelta)) == "All fine so far, but "


async def test_reasoning_that_was_changed_is_no_longer_signed() -> None:
    """A provider must not be shown words it did not sign."""
    kept, changed = Thinking(text="hm", signature="a"), Thinking(text="bob@example.com", signature="b", id="7")
    reply = await guard(Talker(kept, changed, "ok"), PII).complete(ask("hi"))
    assert reply.message.parts == (kept, Thinking(text="[EMAIL]"), Text(text="ok"))


async def test_json_stays_json() -> None:
    """A number that is redacted becomes a string where it stood outside of one."""
    answer = '{"card": 4111111111111111, "note": "card: 4111111111111111", "x": "bob\\u0040example.com \\"ok\\""}'
    wanted = '{"card": "[CARD]", "note": "card: [CARD]", "x": "[EMAIL] \\"ok\\""}'
    model = guard(Talker(answer), PII)
    assert (await model.complete(ask("hi", json=True))).message.text == wanted
    text, _, _, done = await read(model, ask("hi", json=True))
    assert text == wanted
    assert done is not None
    assert done.reply.message.text == wanted


class Cut(Talker):
    """Says a part, and is cut."""

    async def complete(self, request: Request) -> Reply:
        raise Incomplete("cut", partial=self.reply().message.text, limit="stream")

    async def stream(self, request: Request) -> AsyncGenerator[StreamItem]:
        yield TextDelta("Ask ")
        await self.complete(request)


async def test_what_a_cut_left_is_looked_at_too() -> None:
    """The part that is kept with the error is redacted and restored like any answer, or blocked."""
    model = guard(Cut("Ask bob@example.com or [EMAIL_1]"), PII)
    for call in (model.complete(ask("I am alice@example.com")), collect(model, ask("I am alice@example.com"), [])):
        with pytest.raises(Incomplete) as caught:
            await call
        assert caught.value.context == {"partial": "Ask [EMAIL] or alice@example.com", "limit": "stream"}
    with pytest.raises(BlockedByPolicy):
        await guard(Cut("a virus"), WORDS).complete(ask("hi"))


class Lengths:
    """Turns each text into its length."""

    name = "lengths"

    def __init__(self) -> None:
        self.asked: list[EmbedRequest] = []

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.asked.append(request)
        return Embeddings(vectors=tuple((float(len(text)),) for text in request.texts))


async def test_texts_that_become_vectors_are_guarded_too() -> None:
    """Redacted or blocked; the very request where nothing was found."""
    inner, found = Lengths(), list[Finding]()
    embedder = GuardedEmbedder(inner, guards=build_guards((PII, WORDS)), report=found.append)
    assert embedder.name == "lengths"
    plain = EmbedRequest(texts=("hi", "ho"))
    await embedder.embed(plain)
    assert inner.asked[0] is plain
    await embedder.embed(EmbedRequest(texts=("hi", "I am alice@example.com"), dimensions=3))
    assert inner.asked[1] == EmbedRequest(texts=("hi", "I am [EMAIL_1]"), dimensions=3)
    assert [one.action for one in found] == ["redacted"]
    with pytest.raises(BlockedByPolicy):
        await embedder.embed(EmbedRequest(texts=("virus",)))
    unguarded = GuardedEmbedder(inner, guards=build_guards((WordsRule(name="w", words=("x",), on="output"),)))
    await unguarded.embed(plain)
    assert inner.asked[2] is plain
    await unguarded.aclose()


THINGS = (
    "alice@example.com", "[EMAIL_1]", "[EMAIL_2]", "[EM", "4111 1111 1111 1111", "virus", " ", "bad word", "vi", "rus",
    "password = hunter22", "foo 12 bar", "x", "1", "@", "é", "sk-abcdefghijklmnopqrst", '"', "\n",
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    parts=st.lists(st.lists(st.sampled_from(THINGS), max_size=6).map("".join), min_size=1, max_size=2),
    thinking=st.lists(st.sampled_from(THINGS), max_size=4).map("".join),
    size=st.integers(1, 9),
    strict=st.booleans(),
    json=st.booleans(),
)
async def test_a_stream_says_what_a_whole_answer_says(
    parts: list[str], thinking: str, size: int, strict: bool, json: bool
) -> None:
    """The same text, the same end, the same notes, the same block, whatever the pieces."""
    words = WordsRule(
        name="words", words=("virus",), mode="strict" if strict else "moderate", on="output", whole_words=False
    )
    rules = (PII, SecretsRule(name="secrets"), words, PatternsRule(name="p", patterns=(r"foo.{0,5}bar",)))
    said_parts: list[AnyPart] = [Text(text=part) for part in parts if part]
    if thinking:
        said_parts.insert(0, Thinking(text=thinking))
    call = ToolCall(id="1", name="f", arguments='{"a":"' + parts[-1].replace('"', "").replace("\n", "") + '"}')
    model = guard(Talker(*said_parts, call, size=size), *rules)
    request = ask("I am alice@example.com", json=json)
    try:
        whole = await model.complete(request)
    except BlockedByPolicy as error:
        with pytest.raises(BlockedByPolicy, match=error.message):
            await read(model, request)
        return
    text, thought, arguments, done = await read(model, request)
    assert done is not None
    assert done.reply == whole
    assert text == whole.message.text
    assert arguments == whole.message.tool_calls[0].arguments
    assert thought == "".join(part.text for part in whole.message.parts if isinstance(part, Thinking))
    if strict:
        assert "virus" not in text
