"""Who is told of what, what is in it, and what follows from an answer?"""

import json

import pytest

from quorate.errors import Forbidden, InvalidInput, QuorateError
from quorate.events import (
    ApprovalDecided,
    CancelRequested,
    InputGiven,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunIncomplete,
    RunWaiting,
    get_kind,
)
from quorate.messages import Message, Text, Usage
from quorate.runtime.webhooks import Answer, Health, Webhook, WebhookPolicy
from quorate.runtime.webhooks.backoff import choose_delay, choose_next, is_due, is_hopeless, judge, worsen
from quorate.runtime.webhooks.delivery import Delivery, build_message_id
from quorate.runtime.webhooks.payload import FACTS, MOST_BYTES, encode_payload, write_time
from quorate.runtime.webhooks.webhook import KINDS, Reach, check_allowed, check_url, check_webhook
from quorate.state.webhooks import DUE, build_delivery_key, find_lane, skip_lane
from quorate.testing.samples import build_every_event

POLICY = WebhookPolicy()
NOW = 1_700_000_000.0
CANARY = "canary-in-the-text"


def hook(**facts: object) -> Webhook:
    return Webhook(**{"id": "hook", "url": "https://hooks.example.com/in", **facts})  # pyright: ignore[reportArgumentType]


def due(run: str = "run-1", seq: int = 1, **facts: object) -> Delivery:
    return Delivery(tenant="default", webhook="hook", run=run, seq=seq, kind="run.created", **facts)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("**", set(KINDS)),
        ("run.*", {kind for kind in KINDS if kind.startswith("run.")}),
        ("*.failed", {"run.failed"}),
        ("run.failed", {"run.failed"}),
        ("*.*", set(KINDS)),
    ],
)
def test_patterns_say_which_events_are_wanted(pattern: str, wanted: set[str]) -> None:
    """And one that is switched off wants none."""
    assert {kind for kind in KINDS if hook(events=(pattern,)).wants(kind)} == wanted
    assert not any(hook(events=(pattern,), enabled=False).wants(kind) for kind in KINDS)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"id": "Hook"}, "webhook 'Hook' is not an identifier"),
        ({"url": "ftp://hooks.example.com"}, "must begin with `https://`"),
        ({"url": "hooks.example.com"}, "must begin with `https://`"),
        ({"url": "https://"}, "names no host"),
        ({"url": "https://user:token@hooks.example.com"}, "may hold no user, password"),
        ({"url": "https://hooks.example.com/#a"}, "fragment"),
        ({"url": "https://hooks.example.com/?a=b#c"}, "fragment"),
        ({"url": "https://hooks.example.com/?a=\nb"}, "a space, a fragment or a character no address has"),
        ({"url": "https://hooks.example.com/a b"}, "a space or a character"),
        ({"url": f"https://hooks.example.com/{'a' * 2048}"}, "at most 2048"),
        ({"events": ()}, "1 to 20 patterns"),
        ({"events": ("run.failed",) * 21}, "1 to 20 patterns"),
        ({"events": ("run.fail",)}, "There is no event 'run.fail'. Did you mean `run.failed`?"),
        ({"events": ("run.fa*",)}, "event pattern 'run.fa*' is none"),
        ({"agents": ("a.b",)}, "agent 'a.b' is not an identifier"),
        ({"description": "two\nlines"}, "printable"),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(facts: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_webhook(hook(**facts), allow=())
    assert said in caught.value.message
    assert "token" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/latest",
        "https://[fd00:ec2::254]/",
        "https://127.0.0.1/",
        "https://localhost:8443/",
        "https://10.0.0.7/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.7]/",
        "https://[64:ff9b::a00:7]/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "http://hooks.example.com/",
        "http://203.0.113.9/",
        "http://8.8.8.8/",
    ],
)
def test_an_address_inside_is_refused_when_it_is_written_down(url: str) -> None:
    """In every spelling; and `http` to anybody."""
    with pytest.raises(Forbidden):
        check_url(url, allow=())


def test_what_the_operator_lists_may_be_reached() -> None:
    """Loopback, private addresses, a network; metadata and link-local addresses never, and `http` never in public."""
    assert check_url("http://127.0.0.1:8080/a?b=c", allow=("loopback",)).scheme == "http"
    assert check_url("http://10.2.3.4/", allow=("10.2.0.0/16",)).allow == ("10.2.0.0/16",)
    assert check_url("https://[fd12::1]/", allow=("private",)).scheme == "https"
    with pytest.raises(Forbidden):
        check_url("http://10.3.3.4/", allow=("10.2.0.0/16", "loopback"))
    everything = ("loopback", "private", "0.0.0.0/0", "::/0")
    for address in (
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "168.63.129.16",
        "224.0.0.1",
        "::ffff:169.254.169.254",
    ):
        with pytest.raises(Forbidden, match="never reached"):
            Reach(scheme="https", allow=everything).check(address, "rebinding.example.com")
    with pytest.raises(Forbidden, match="use `https`"):
        Reach(scheme="http", allow=everything).check("8.8.8.8", "hooks.example.com")
    Reach(scheme="https").check("8.8.8.8", "hooks.example.com")


@pytest.mark.parametrize("item", ["public", "hooks.internal", "169.254.0.0/16", "10.0.0.0/33", ""])
def test_what_cannot_be_allowed_is_refused(item: str) -> None:
    with pytest.raises(InvalidInput, match=r"`webhooks\.allow` holds"):
        check_allowed([item])


def test_the_place_of_a_webhook_hides_what_may_be_a_token() -> None:
    assert hook(url="https://a.example.com/in?key=secret").place == "https://a.example.com/in?…"


CREATED = RunCreated(
    run="run-1", seq=1, time=NOW, agent="clerk", messages=(Message(role="user", parts=(Text(text=CANARY),)),),
    tenant="acme", principal=CANARY, session="s-1", idempotency_key=CANARY, labels={"route.reason": CANARY},
)  # fmt: skip
TOLD = [
    CREATED,
    RunWaiting(run="run-1", seq=2, time=NOW + 0.5, reason="approval", keys=("1/tool/a",), note=CANARY),
    RunCompleted(run="run-1", seq=3, time=NOW, output=CANARY, usage=Usage(input_tokens=3), cost_usd=0.25),
    RunFailed(run="run-1", seq=3, time=NOW, code="upstream_error", message=CANARY),
    RunCancelled(run="run-1", seq=3, time=NOW, reason=CANARY),
    RunIncomplete(run="run-1", seq=3, time=NOW, limit="steps", message=CANARY, partial=CANARY),
    CancelRequested(run="run-1", seq=3, time=NOW, reason=CANARY, by=CANARY),
    ApprovalDecided(
        run="run-1", seq=3, time=NOW, approved=True, digest="d", by=CANARY, reason=CANARY, arguments=CANARY
    ),
    InputGiven(run="run-1", seq=3, time=NOW, text=CANARY, by=CANARY),
]


@pytest.mark.parametrize("event", TOLD, ids=lambda event: get_kind(event))
def test_nothing_that_was_said_is_sent_unless_that_was_asked_for(event: RunCreated) -> None:
    """Facts alone by default; the whole event where the webhook says `content`."""
    plain, full = (encode_payload(event, CREATED, content=content) for content in (False, True))
    assert CANARY not in plain.decode()
    assert CANARY in full.decode() or event.seq == 2
    told = json.loads(plain)
    assert (told["type"], told["timestamp"][:10]) == (get_kind(event), "2023-11-14")
    assert told["data"]["run"] == "run-1"
    assert {"tenant": "acme", "agent": "clerk", "session": "s-1", "seq": event.seq}.items() <= told["data"].items()
    whole = json.loads(full)
    assert {k: v for k, v in whole["data"].items() if k != "event"} == told["data"]
    assert whole["data"]["event"]["kind"] == get_kind(event)


def test_every_event_of_an_outbox_can_be_told() -> None:
    """The tests above have one of each kind, and the table of facts names only fields there are."""
    assert {get_kind(event) for event in TOLD} == set(KINDS)
    for sample in build_every_event("run-1"):
        for name in FACTS.get(get_kind(sample), ()):
            assert hasattr(sample, name), name


def test_facts_of_an_end() -> None:
    """What it cost and how it ended, the moment in UTC."""
    told = json.loads(encode_payload(TOLD[2], CREATED, content=False))
    assert told["data"]["usage"]["input_tokens"] == 3
    assert (told["data"]["cost_usd"], told["data"]["status"]) == (0.25, "completed")
    assert told["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert json.loads(encode_payload(TOLD[1], CREATED, content=False))["data"]["keys"] == ["1/tool/a"]


def test_what_is_too_long_is_left_out_and_said_to_be() -> None:
    """The receiver reads it by run and number."""
    long = RunCompleted(run="run-1", seq=3, time=NOW, output="x" * 30_000)
    body = encode_payload(long, CREATED, content=True)
    assert len(body) < 1000
    data = json.loads(body)["data"]
    assert (data["run"], data["seq"], data["event_bytes"] > 30_000, "event" in data) == ("run-1", 3, True, False)
    short = RunCompleted(run="run-1", seq=3, time=NOW, output="x" * (MOST_BYTES - 1000))
    assert len(encode_payload(short, CREATED, content=True)) <= MOST_BYTES + 100
    many = RunWaiting(run="run-1", seq=2, time=NOW, reason="approval", keys=tuple("k" * 5000 for _ in range(500)))
    assert len(encode_payload(many, CREATED, content=False)) < MOST_BYTES


def test_ten_tries_in_three_days() -> None:
    """The waits of the specification, longer by chance and never shorter; after the tenth failure it is given up."""
    waits = list[float | None]()
    for number in range(1, 11):
        delivery = due(failures=number)
        wait = choose_delay(delivery, Answer(status=500), POLICY, random=lambda: 0.0)
        late = choose_delay(delivery, Answer(status=500), POLICY, random=lambda: 1.0)
        assert (wait is None) == (late is None)
        assert wait is None or late is None or wait < late <= 1.2 * wait + 1e-6
        waits.append(wait)
    assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, None]


def test_retry_after_is_kept_and_bounded() -> None:
    """It makes a wait longer, never shorter, and never longer than a day."""

    def wait(asked: float) -> float | None:
        return choose_delay(due(failures=1), Answer(status=503, retry_after_s=asked), POLICY, random=lambda: 0.0)

    assert (wait(120), wait(1), wait(1e9)) == (120, 5, 86_400)
    assert choose_delay(due(failures=1), Answer(status=410, retry_after_s=5), POLICY, random=lambda: 0.0) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=200), ""),
        (Answer(status=299), ""),
        (Answer(status=302), "answered 302: redirects are not followed, set the URL anew"),
        (Answer(status=404), "answered 404"),
        (Answer(status=199), "answered 199"),
        (Answer(reason="did not answer in time"), "did not answer in time"),
    ],
)
def test_only_2xx_is_good(answer: Answer, said: str) -> None:
    assert judge(answer) == said


def test_an_endpoint_that_fails_again_and_again_is_left_alone_for_longer() -> None:
    """From the fifth failure on, 10 s, doubling to five minutes; `Retry-After` holds at once."""
    health: Health | None = None
    rests = list[float]()
    for _ in range(12):
        health = worsen(health, Answer(status=500), POLICY, now=NOW)
        rests.append(health.rests_until - NOW)
    assert rests == [0, 0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert health is not None
    assert (health.failures, health.since) == (12, NOW)
    assert worsen(None, Answer(status=429, retry_after_s=60), POLICY, now=NOW).rests_until == NOW + 60
    for failures, days, hopeless in ((9, 6, False), (10, 4.9, False), (10, 5, True)):
        assert is_hopeless(Health(failures=failures, since=NOW), POLICY, now=NOW + days * 86_400) is hopeless


def test_clocks_that_were_wrong_do_not_hold_anything_up() -> None:
    """What is written to be further ahead than we ever write it is due."""
    assert not is_due(due(next=NOW + 5), POLICY, now=NOW)
    assert is_due(due(next=NOW + 30 * 86_400), POLICY, now=NOW)
    assert not is_due(due(claimed_until=NOW + 60), POLICY, now=NOW)
    assert is_due(due(claimed_until=NOW + 3600), POLICY, now=NOW)
    ahead = Health(failures=1, since=NOW + 86_400, rests_until=NOW + 30 * 86_400)
    assert worsen(ahead, Answer(status=500), POLICY, now=NOW) == Health(failures=2, since=NOW, rests_until=NOW)


def test_events_of_a_run_go_out_in_their_order() -> None:
    """One at a time; what was tried and failed does not hold up those behind it, and other runs never do."""
    rows = [due("a", 1), due("a", 2), due("b", 1), due("c", 1)]
    assert [(row.run, row.seq) for row in choose_next(rows, POLICY, now=NOW, most=9)] == [("a", 1), ("b", 1), ("c", 1)]
    assert len(choose_next(rows, POLICY, now=NOW, most=2)) == 2
    claimed = [due("a", 1, claimed_until=NOW + 9), due("a", 2)]
    assert choose_next(claimed, POLICY, now=NOW, most=9) == []
    failed = [due("a", 1, failures=1, next=NOW + 9), due("a", 2), due("a", 3)]
    assert choose_next(failed, POLICY, now=NOW, most=9) == failed[1:2]


def test_keys_of_deliveries_sort_by_number_and_stay_inside_their_webhook() -> None:
    """Whatever the id of a run is."""
    keys = [build_delivery_key(DUE, "acme", "hook", "run-1", seq) for seq in (1, 2, 10, 100)]
    assert keys == sorted(keys)
    for run in ("../other/1", "a/b", "é" * 300, "\udc80", "x" * 500, ""):
        key = build_delivery_key(DUE, "acme", "hook", run, 7)
        assert find_lane(key) == ("acme", "hook")
        assert key.count("/") == 4
        assert len(key.encode()) <= 512
        assert key < skip_lane(DUE, "acme", "hook")


def test_the_id_of_a_message_says_nothing_and_is_one_for_ever() -> None:
    ids = {build_message_id(*parts) for parts in (("a", "b", 1), ("ab", "", 1), ("a", "b", 2), ("b", "a", 1))}
    assert len(ids) == 4
    assert all(len(one) == 36 and "." not in one for one in ids)
    with pytest.raises(QuorateError):
        check_webhook(hook(tenant="A"), allow=())


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (float("nan"), "1970-01-01T00:00:00.000Z"),
        (float("inf"), "9999-12-31T23:59:59.000Z"),
        (1e30, "9999-12-31T23:59:59.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
    ],
)
def test_a_time_that_no_calendar_has_breaks_nothing(seconds: float, written: str) -> None:
    """A record that was brought in from elsewhere may bear any number."""
    assert write_time(seconds) == written
