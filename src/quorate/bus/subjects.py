"""Where does a message go, whose is it, and who hears it?

Subjects of ours are `ai.{component}.{operation}.{tenant}[.{addressee}]`, each word an id, such as
`ai.agent.tasks.acme.net`; `build_subject` makes them. Others are let through as long as they are subjects at all.
"""

from __future__ import annotations

import re

from quorate.errors import Forbidden, InvalidInput
from quorate.ids import check_id

ROOT = "ai"
INBOX = "_INBOX"
"""What subjects begin with at which somebody waits for an answer."""
DEAD = "dead"
"""The component of subjects at which dead letters arrive."""
MAX_LENGTH = 255

_WORD = r"[!-)+-\-/-=?-~]+"  # printable, without space, `*`, `.` and `>`
_LITERAL = re.compile(rf"{_WORD}(?:\.{_WORD})*", re.ASCII)
_PATTERN = re.compile(rf"(?:(?:{_WORD}|\*)\.)*(?:{_WORD}|\*|>)", re.ASCII)
_NAME = re.compile(_WORD, re.ASCII)
_TENANT_PLACE = 3


def build_subject(component: str, operation: str, tenant: str, addressee: str | None = None) -> str:
    """Build a subject of ours.

    Raises:
        InvalidInput: One of the words is not an id, such as one with a dot or a wildcard.
    """
    words = [
        ROOT,
        check_id(component, "component"),
        check_id(operation, "operation"),
        check_id(tenant, "tenant"),
    ]
    if addressee is not None:
        words.append(check_id(addressee, "addressee"))
    return ".".join(words)


def build_dead_subject(queue: str, tenant: str) -> str:
    """Build the subject at which a queue's dead letters arrive."""
    return build_subject(DEAD, queue, tenant)


def check_subject(subject: str) -> str:
    """Return `subject` if a message can be sent there, else raise.

    Raises:
        InvalidInput: It is empty or too long, or has empty words, wildcards, spaces or control characters.
        Forbidden: It is one of the broker's own.
    """
    if len(subject) > MAX_LENGTH or _LITERAL.fullmatch(subject) is None:
        raise InvalidInput(
            f"subject {subject[:80]!r} is none to send to: use words of printable ASCII joined by single dots, "
            f"without `*`, `>` and spaces, {MAX_LENGTH} characters at most.",
            subject=subject[:MAX_LENGTH],
        )
    return _check_owner(subject)


def check_pattern(pattern: str) -> str:
    """Return what to listen to if it is a pattern, else raise; `**` at the end is another way to write `>`.

    Raises:
        InvalidInput: It has empty words, a wildcard inside a word, `>` before the end, or is too long.
        Forbidden: It is one of the broker's own.
    """
    given = pattern
    if pattern == "**" or pattern.endswith(".**"):
        pattern = f"{pattern[:-2]}>"
    if len(pattern) > MAX_LENGTH or _PATTERN.fullmatch(pattern) is None:
        raise InvalidInput(
            f"pattern {given[:80]!r} is none to listen to: use words joined by single dots, where a word may be `*` "
            f"and the last one `>`, {MAX_LENGTH} characters at most.",
            pattern=given[:MAX_LENGTH],
        )
    return _check_owner(pattern)


def check_group(group: str) -> str:
    """Return the name of a group of listeners if it is one.

    Raises:
        InvalidInput: It has dots, wildcards, spaces or control characters, or is too long.
    """
    if len(group) > MAX_LENGTH or _NAME.fullmatch(group) is None:
        raise InvalidInput(f"group {group[:80]!r} is not a name: use printable ASCII without dots and wildcards.")
    return group


def check_tenant(subject: str, tenant: str) -> str:
    """Return a subject or pattern of ours if it is this tenant's, or may be.

    Raises:
        Forbidden: It names another tenant.
    """
    words = subject.split(".", _TENANT_PLACE + 1)
    if words[0] == ROOT and len(words) > _TENANT_PLACE and words[_TENANT_PLACE] not in (tenant, "*", ">"):
        raise Forbidden(f"subject {subject!r} belongs to another tenant than {tenant!r}.", subject=subject)
    return subject


def is_inbox(subject: str) -> bool:
    """Whether an answer may be sent there: somebody's inbox, never a subject at which something is done."""
    return subject.startswith(INBOX) and len(subject) <= MAX_LENGTH and _LITERAL.fullmatch(subject) is not None


def is_match(pattern: str, subject: str) -> bool:
    """Whether somebody who listens to a pattern hears a subject."""
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(words) <= len(wanted):
            return False
    elif len(words) != len(wanted):
        return False
    return all(want in ("*", word) for want, word in zip(wanted, words, strict=False))


def is_overlap(first: str, second: str) -> bool:
    """Whether there is a subject that both patterns match."""
    left, right = first.split("."), second.split(".")
    for one, other in zip(left, right, strict=False):
        if ">" in (one, other):
            return True
        if one != other and "*" not in (one, other):
            return False
    return len(left) == len(right)


def _check_owner(subject: str) -> str:
    if subject.startswith("$"):
        raise Forbidden(f"subject {subject!r} is one of the broker's own.", subject=subject)
    return subject
