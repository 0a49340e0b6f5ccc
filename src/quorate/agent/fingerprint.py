"""Was a model asked the same as before: the same instructions, tools, settings and messages?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from quorate.agent.run import Run

LENGTH = 12
"""Hexadecimal digits of each part: enough to notice a change, not a proof against somebody who wants to deceive."""
PARTS = ("the instructions", "the tools", "the output type or the model's settings", "the messages")
"""What the parts of a digest stand for, in their order."""

_encoder = msgspec.json.Encoder(order="deterministic")


def digest_questions(run: Run, begin: int) -> Iterator[str]:
    """Yield a short text for each question to a model, which changes when what is asked does.

    The first `begin` messages are in the run's log already and are left out, so a long history costs nothing; what was
    added since is hashed once. The parts stand apart, so that a replay can say which one changed.
    """
    compiled, known, seen, added = run.compiled, run.compiled.printed, begin, None
    if known is None or known[0] is not run.instructions or known[1] != run.mode:
        spec = None if run.mode == "text" else compiled.output.spec
        tools = compiled.specs_with_output if run.mode == "tool" else compiled.specs
        parts = (run.instructions, tools, (run.mode, compiled.settings, spec))
        digests = [hashlib.sha256(_encoder.encode(part)).hexdigest()[:LENGTH] for part in parts]
        known = compiled.printed = (run.instructions, run.mode, ".".join(digests))
    while True:
        if len(run.messages) == begin:
            yield known[2]
            continue
        added = added or hashlib.sha256()
        added.update(_encoder.encode_lines(run.messages[seen:]))
        seen = len(run.messages)
        yield f"{known[2]}.{added.hexdigest()[:LENGTH]}"


def explain(recorded: str, replayed: str) -> str:
    """Say which parts of two digests differ, in words."""
    before, after = recorded.split("."), replayed.split(".")
    length = max(len(before), len(after))
    pairs = zip(before + [""] * (length - len(before)), after + [""] * (length - len(after)), PARTS, strict=False)
    changed = [part for old, new, part in pairs if old != new]
    return " and ".join(changed) or "nothing"
