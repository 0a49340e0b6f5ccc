"""How does a council decide: who votes by which rule, what comes before the vote, and what where it decides nothing?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from quorate.council.terms import MAX_NAME, MAX_OPTIONS, Abstentions, Silence, Tie
from quorate.errors import InvalidInput, UnknownName

MAX_BALLOTS = 5
"""How often a council votes at most on one decision."""
MAX_DEBATE = 5
"""How many rounds a debate has at most."""
MAX_SEED = (1 << 53) - 1
"""What every reader of JSON reads to the last digit."""
PERSON = "person:"
"""What the name of a person on the roll begins with."""


class Debate(Struct, frozen=True, tag="debate"):
    """Voters argue, and vote again."""

    rounds: int = 1


class Arbiter(Struct, frozen=True, tag="arbiter"):
    """An agent decides, by the record of the vote."""

    agent: str


class Person(Struct, frozen=True, tag="person"):
    """A person: on the roll a voter, in a fallback whoever decides."""

    principal: str = ""
    """Who; in a fallback anybody who may answer when empty."""
    expires_s: float | None = None
    """After how many seconds no answer counts any more."""


class Abort(Struct, frozen=True, tag="abort"):
    """Nothing is decided."""


Fallback = Debate | Arbiter | Person | Abort
"""What is done where a vote decides nothing."""


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a council decides."""

    options: tuple[str, ...] = ()
    """What there is to choose from; where there is nothing, the voters propose first."""
    rule: str = "majority"
    quorum: float = 0.5
    weights: dict[str, float] = {}
    """What the votes of some weigh; those of the others weigh 1."""
    groups: dict[str, str] = {}
    """Which voters are alike, such as by their model: whoever reads the record is told."""
    keys: dict[str, str] = {}
    """The Ed25519 keys of voters who sign their ballots themselves, in base64."""
    by_trust: bool = False
    """Whether votes weigh what their voters are trusted, where trust is kept."""
    topic: str = ""
    """What it is about, as far as trust goes."""
    tie: Tie = "refuse"
    priority: tuple[str, ...] = ()
    seed: int | None = None
    """What chance goes by; drawn when the decision is opened where it is not given."""
    abstentions: Abstentions = "present"
    silence: Silence = "absent"
    secret: bool = False
    deadline_s: float | None = None
    """After how many seconds from its opening no ballot counts; each answer in a debate, and each proposal, may take as
    long."""
    debate: int = 0
    """How many rounds the voters argue before the first vote."""
    own_votes: bool = True
    """Whether who proposed an option may vote for it."""
    fallback: tuple[Fallback | str, ...] = ()
    """What is done in turn where a vote decides nothing; as text, `debate:1`, `arbiter:lead`, `person:ada`, `abort`."""

    @property
    def chain(self) -> tuple[Fallback, ...]:
        """The fallbacks, read where they are text; raises what `read_fallback` raises."""
        return tuple(read_fallback(one) if isinstance(one, str) else one for one in self.fallback)

    @property
    def arbiters(self) -> tuple[str, ...]:
        """The agents that fallbacks name; raises what `read_fallback` raises."""
        return tuple(one.agent for one in self.chain if isinstance(one, Arbiter))


def read_fallback(text: str) -> Fallback:
    """Read `debate:2`, `arbiter:lead`, `person`, `person:ada`, `abort`.

    Raises:
        UnknownName: There is no such fallback.
        InvalidInput: It lacks what it needs.
    """
    kind, _, rest = text.strip().partition(":")
    if kind == "debate" and (not rest or rest.isdecimal()):
        return Debate(int(rest or 1))
    if kind == "arbiter" and rest:
        return Arbiter(rest)
    if kind in ("person", "human"):
        return Person(rest)
    if kind == "abort" and not rest:
        return Abort()
    if kind in ("debate", "arbiter", "abort"):
        raise InvalidInput(f"The fallback {text!r:.80} does not hold: write `debate:1`, `arbiter:<agent>` or `abort`.")
    raise UnknownName("fallback", text[:80], ("debate", "arbiter", "person", "abort"))


def check_plan(plan: Plan, voters: Sequence[str], agents: Iterable[str]) -> list[str]:
    """Return what is wrong with a plan beside its terms, all of it.

    Args:
        plan: The plan.
        voters: The names on the roll.
        agents: The agents that a fallback may name.
    """
    known, faults = set(agents), list[str]()
    if not 0 <= plan.debate <= MAX_DEBATE:
        faults.append(f"`debate` is {plan.debate!r}: give 0 to {MAX_DEBATE} rounds")
    if plan.deadline_s is not None and not 0 < plan.deadline_s < math.inf:
        faults.append(f"`deadline_s` is {plan.deadline_s!r}: give a number of seconds above 0")
    if len(voters) >= MAX_OPTIONS and not plan.options:
        faults.append(f"{len(voters)} voters cannot propose: give `options`, or at most {MAX_OPTIONS - 1} voters")
    if not plan.own_votes and plan.options:
        faults.append("`own_votes` is about proposals, and the options are given: leave one of both out")
    if len(plan.topic) > MAX_NAME:
        faults.append(f"`topic` has {len(plan.topic)} characters: give {MAX_NAME} at most")
    if plan.seed is not None and not 0 <= plan.seed <= MAX_SEED:
        faults.append(f"`seed` is {plan.seed!r:.80}: give 0 to {MAX_SEED}")
    faults += [*_find_strangers(plan, voters), *_find_bad_keys(plan)]
    debates = 0
    try:
        chain = plan.chain
    except InvalidInput as error:
        return [*faults, f"`fallback`: {error.message}"]
    for one in chain:
        if isinstance(one, Debate):
            debates += 1
            if not 1 <= one.rounds <= MAX_DEBATE:
                faults.append(f"a fallback debates {one.rounds!r} rounds: give 1 to {MAX_DEBATE}")
        elif isinstance(one, Arbiter) and one.agent not in known:
            faults.append(f"the arbiter {one.agent!r:.80} is none of the agents: {', '.join(sorted(known))[:200]}")
        elif isinstance(one, Person):
            faults += check_person(one)
    if debates >= MAX_BALLOTS:
        faults.append(f"there are {debates} debates among the fallbacks: at most {MAX_BALLOTS} votes are held")
    return faults


def check_person(person: Person) -> list[str]:
    """Return what is wrong with a person."""
    faults: list[str] = []
    if person.principal and (not person.principal.isprintable() or len(person.principal) > 200):
        faults.append(f"{person.principal!r:.80} is no principal")
    if person.expires_s is not None and not 0 < person.expires_s < math.inf:
        faults.append(f"`expires_s` is {person.expires_s!r}: give a number of seconds above 0")
    return faults


def _find_bad_keys(plan: Plan) -> Iterable[str]:
    if plan.keys:
        from quorate.council.keys import check_key  # needs an extra, which most councils do without

        for voter, key in plan.keys.items():
            try:
                check_key(key, f"{voter!r:.80}")
            except InvalidInput as error:
                yield error.message.rstrip(".")


def _find_strangers(plan: Plan, voters: Sequence[str]) -> list[str]:
    known, listed = set(voters), ", ".join(voters[:10])[:200]
    beside: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("weights", plan.weights), ("groups", plan.groups), ("keys", plan.keys),
    )  # fmt: skip
    faults: list[str] = []
    for field, given in beside:
        strangers = [name for name in given if name not in known]
        if strangers:
            named = ", ".join(f"{name!r:.80}" for name in strangers[:3])
            more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
            faults.append(f"`{field}` names {named}{more}, not on the roll: {listed}")
    return faults
