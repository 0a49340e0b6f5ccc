"""Which streams does a bus have, do their rules hold together, and which of them keeps a subject?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quorate.bus.subjects import DEAD, build_dead_subject, check_pattern, check_tenant, is_match, is_overlap
from quorate.errors import InvalidInput, UnknownName
from quorate.ids import check_id, new_id
from quorate.ports.bus import StreamRule

DEAD_DEDUPE_S = 86_400.0
"""For how long a dead letter is known, so that it lands once also when who moved it died in the middle."""
DEAD_AGE_S = 30 * 86_400.0
DEAD_BYTES = 64 << 20


def check_streams(rules: Sequence[StreamRule], *, tenant: str) -> tuple[StreamRule, ...]:
    """Return the rules with those for dead letters, if they hold together; all faults are told at once.

    Raises:
        InvalidInput: They do not.
    """
    check_id(tenant, "tenant")
    faults: list[str] = []
    found: list[StreamRule] = []
    for rule in rules:
        faults += find_faults(rule, tenant=tenant)
        faults += [
            f"streams {rule.name!r} and {other.name!r} have the same name" for other in found if other.name == rule.name
        ]
        faults += [
            f"streams {rule.name!r} and {other.name!r} keep the same subjects: {mine!r} and {theirs!r}"
            for other in found
            for mine in rule.subjects
            for theirs in other.subjects
            if is_overlap(mine, theirs)
        ]
        found.append(rule)
    if faults:
        raise InvalidInput(f"{len(faults)} faults in the streams: {'; '.join(faults)}.", faults=tuple(faults))
    return (*rules, *(build_dead_rule(rule, tenant) for rule in rules if rule.kind == "work"))


def find_faults(rule: StreamRule, *, tenant: str) -> list[str]:
    """Find what is wrong with one rule."""
    faults: list[str] = []
    try:
        check_id(rule.name, "stream")
        for subject in rule.subjects:
            check_tenant(check_pattern(subject), tenant)
    except Exception as error:  # whatever is wrong with a name or a subject is told with the other faults
        faults.append(str(error))
    if not rule.subjects:
        faults.append(f"stream {rule.name!r} keeps no subjects")
    for name, value in (
        ("max_messages", rule.max_messages),
        ("max_bytes", rule.max_bytes),
        ("max_deliver", rule.max_deliver),
        ("replicas", rule.replicas),
        ("ack_wait_s", rule.ack_wait_s),
        ("dedupe_s", rule.dedupe_s),
        ("max_age_s", 1.0 if rule.max_age_s is None else rule.max_age_s),
    ):
        if value <= 0:
            faults.append(f"stream {rule.name!r} has {name}={value!r}; it is more than 0")
    if any(rest < 0 for rest in rule.backoff_s):
        faults.append(f"stream {rule.name!r} has a rest below 0 in {rule.backoff_s!r}")
    if rule.name.endswith(f"-{DEAD}"):
        faults.append(f"stream {rule.name!r} has the name of one for dead letters")
    return faults


def build_dead_rule(rule: StreamRule, tenant: str) -> StreamRule:
    """Build the stream that keeps the dead letters of a queue; nothing in it gives way but by age."""
    return StreamRule(
        name=f"{rule.name}-{DEAD}",
        subjects=(build_dead_subject(rule.name, tenant),),
        kind="events",
        max_messages=max(rule.max_messages, 10_000),
        max_bytes=min(rule.max_bytes, DEAD_BYTES),
        max_age_s=DEAD_AGE_S,
        dedupe_s=DEAD_DEDUPE_S,
        replicas=rule.replicas,
    )


def is_lossless(rule: StreamRule) -> bool:
    """Whether a full stream refuses what comes, instead of forgetting what it has."""
    return rule.kind == "work" or rule.name.endswith(f"-{DEAD}")


def find_stream(rules: Iterable[StreamRule], subject: str) -> StreamRule:
    """Find the stream that keeps a subject.

    Raises:
        InvalidInput: There is none.
    """
    rules = tuple(rules)
    for rule in rules:
        if any(is_match(kept, subject) for kept in rule.subjects):
            return rule
    kept = ", ".join(f"`{rule.name}` ({', '.join(rule.subjects)})" for rule in rules) or "none"
    raise InvalidInput(f"no stream keeps {subject!r}; there are: {kept}.", subject=subject)


def find_queue(rules: Iterable[StreamRule], name: str) -> StreamRule:
    """Find a stream of work by its name.

    Raises:
        UnknownName: There is none.
    """
    queues = {rule.name: rule for rule in rules if rule.kind == "work"}
    if name not in queues:
        raise UnknownName("queue", name, queues)
    return queues[name]


def find_rest(rule: StreamRule, attempt: int) -> float:
    """Find how many seconds work rests after its `attempt`-th failure."""
    return rule.backoff_s[min(attempt, len(rule.backoff_s)) - 1] if rule.backoff_s else 0.0


def check_replay(*, group: str | None, after: int | None, since: float | None) -> tuple[int, float]:
    """Return from which number and which time on a stream is read.

    Raises:
        InvalidInput: Both were given, or one with a group.
    """
    if group is not None or (after is not None and since is not None):
        raise InvalidInput("a stream is read `after` a number or `since` a time, and by one reader, not by a `group`.")
    if after is not None and after < 0:
        raise InvalidInput(f"`after` is {after!r}; streams are numbered from 1, and 0 reads all of it.")
    return after or 0, since or 0.0


def check_entry(*, id: str | None, ttl_s: float | None) -> tuple[str, float | None]:
    """Return under which id a message is kept, and for how many whole seconds.

    Raises:
        InvalidInput: They are not what they must be.
    """
    if id is not None and (not 1 <= len(id) <= 200 or not id.isascii() or not id.isprintable() or " " in id):
        raise InvalidInput(f"message id {id[:80]!r} is not one: use 1 to 200 printable ASCII characters, no spaces.")
    if ttl_s is not None and not ttl_s > 0:
        raise InvalidInput(f"`ttl_s` is {ttl_s!r}; it is more than 0.")
    return id or new_id("msg"), None if ttl_s is None else float(-(-ttl_s // 1))
