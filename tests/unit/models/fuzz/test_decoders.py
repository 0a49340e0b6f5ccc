"""Can anything that a provider sends do more than fail in a way we name?"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.contract.test_models import CASES
from tests.unit.models.fuzz.mutation import mutate_bytes, mutate_frames, mutate_json
from tests.unit.models.fuzz.samples import NAMES, Subject, cut_anywhere

from quorate.errors import QuorateError
from quorate.models.facts import load_table
from quorate.models.providers import find_embedding, find_listing
from quorate.specs import EmbedRequest
from quorate.testing.contracts.model_case import ModelCase
from quorate.testing.provider_server.script import Answer

COUNT = 10_000
"""Cases for each provider."""
OUTSIDE = frozenset({"litellm"})
"""Dialects that read nothing themselves."""


@pytest.fixture(params=CASES, ids=NAMES)
def subject(request: pytest.FixtureRequest) -> Subject:
    case: ModelCase = request.param
    return Subject(case)


def test_every_dialect_is_here() -> None:
    """A provider that the catalog names, in words that nobody tries here, is missing above."""
    table = load_table()
    known = {table.find_provider(name).dialect for name in NAMES}
    assert {row.dialect for row in table.providers.values()} - OUTSIDE <= known


def test_bad_replies_fail_by_name(subject: Subject) -> None:
    """Replies, streams, refusals, vectors and lists, mutated: each is read, or raises an error of ours."""
    chance = random.Random(f"quorate {subject.target.provider.name}")
    attempts = build_attempts(subject, chance)
    weights = [weight for weight, _ in attempts]
    failed = 0
    for _, attempt in chance.choices(attempts, weights=weights, k=COUNT):
        try:
            attempt()
        except QuorateError as error:
            failed += bool(error.message)
    assert failed > COUNT // 3, "the mutations hardly mutate"


def build_attempts(subject: Subject, chance: random.Random) -> list[tuple[int, Callable[[], object]]]:
    """Build what is tried, each with how often."""
    bodies, errors, streams = subject.build_bodies(), subject.build_errors(), subject.build_streams()
    wholes = [b"".join(frames) for frames in streams]
    events = [subject.cut_events(frames) for frames in streams]
    statuses = (400, 401, 402, 403, 404, 408, 413, 418, 422, 424, 429, 500, 502, 503, 504, 529, 302, 600)

    def spoil_events() -> object:
        rows = list(chance.choice(events))
        for _ in range(chance.choice((1, 1, 2))):
            place = chance.randrange(len(rows))
            rows[place] = mutate_json(rows[place], chance)
        return subject.read_events(rows)

    def spoil_bytes() -> object:
        return subject.read_stream(cut_anywhere(mutate_bytes(chance.choice(wholes), chance), chance))

    def spoil_frames() -> object:
        return subject.read_stream(mutate_frames(chance.choice(streams), chance))

    attempts: list[tuple[int, Callable[[], object]]] = [
        (25, lambda: subject.read_whole(mutate_json(chance.choice(bodies), chance))),
        (10, lambda: subject.read_whole(mutate_bytes(chance.choice(bodies), chance))),
        (25, spoil_events),
        (10, spoil_bytes),
        (10, spoil_frames),
        (5, lambda: subject.read_error(chance.choice(statuses), mutate_json(chance.choice(errors), chance))),
        (5, lambda: subject.read_error(chance.choice(statuses), mutate_bytes(chance.choice(errors), chance))),
    ]
    return attempts + build_others(subject, chance)


def build_others(subject: Subject, chance: random.Random) -> list[tuple[int, Callable[[], object]]]:
    """Build what is tried of vectors and lists, where the provider has them."""
    found: list[tuple[int, Callable[[], object]]] = []
    target = subject.embedding
    if target is not None:
        embedding = find_embedding(target.provider)
        wire, sent = subject.find_wire(embedding.encode(EmbedRequest(texts=("a",)), target))
        vectors = wire.build_body(Answer(), sent)
        found.append((5, lambda: embedding.decode(mutate_json(vectors, chance), target)))
        found.append((2, lambda: embedding.decode(mutate_bytes(vectors, chance), target)))
    if subject.target.provider.listing:
        listing = find_listing(subject.target.provider)
        wire, sent = subject.find_wire(listing.encode(subject.target))
        models = wire.build_body(Answer(), sent)
        found.append((5, lambda: listing.decode(mutate_json(models, chance))))
        found.append((2, lambda: listing.decode(mutate_bytes(models, chance))))
    return found
