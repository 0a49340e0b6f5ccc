"""Who votes on the root cause, and what does each go by?

A witness asks one of the agents that come with Quorate, which measures, and turns what that found into a ballot: it is
for the candidate that its worst finding names, and the measured facts are its evidence. One of them measures nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from system import System

from quorate.agent.agent import AnyAgent
from quorate.agent.procedure.build import build_agent
from quorate.agent.procedure.work import Work
from quorate.council.ballot import Ballot
from quorate.council.decide import Backing, council
from quorate.council.plan import Plan
from quorate.models.playbook.report import Diagnosis, Finding

PLANTED = "finger-pointer"
"""The member that is wrong, whatever was measured."""
BOARD = "root-cause"
MOST_EVIDENCE = 3
FindAgent = Callable[[str], AnyAgent]


@dataclass(frozen=True)
class Candidate:
    """A possible cause, and how a finding that names it reads."""

    title: str
    patterns: tuple[str, ...]
    """All of them must be found in one finding's words or facts."""
    severities: tuple[str, ...] = ("critical", "high")


@dataclass(frozen=True)
class Witness:
    """A voter, the agent that measures for it, and what that is asked."""

    name: str
    agent: str
    task: str


def list_candidates(system: System) -> tuple[Candidate, ...]:
    """What may be the root cause; the first one is."""
    return (
        Candidate(f"the payment backend {system.backend} refuses connections", (rf"\b{system.backend_port}\b",)),
        Candidate(f"the page {system.slow_url} is slow", (r"/report\b", r"\bslow\b")),
        Candidate(f"the web server {system.url} is down", (rf"\b{system.port}\b", r"\brefused\b")),
        Candidate("this machine is short of memory, disk or processors", (r"memory|disk|processor",), ("critical",)),
    )


def list_witnesses(system: System) -> tuple[Witness, ...]:
    """Who measures."""
    return (
        Witness(
            "network-witness", "network-diagnostics", f"can {system.backend} be reached, and does {system.url} answer?"
        ),
        Witness("log-witness", "log-analysis", f"which errors are in {system.log.name}, and since when?"),
        Witness("port-witness", "infrastructure", f"does anything listen on port {system.backend_port}?"),
        Witness("machine-witness", "system-monitoring", "is this machine short of processor, memory or disks?"),
    )


def build_board(system: System, find_agent: FindAgent, *, backing: Backing) -> AnyAgent:
    """Build the council: four witnesses and one that is planted, by majority of all who are for something."""
    candidates = list_candidates(system)
    voters = [build_witness(one, find_agent(one.agent), candidates) for one in list_witnesses(system)]
    plan = Plan(options=tuple(one.title for one in candidates), rule="majority", quorum=0.8)
    return council(BOARD, [*voters, build_planted(candidates[2])], plan, backing=backing)


def build_witness(witness: Witness, measures: AnyAgent, candidates: Sequence[Candidate]) -> AnyAgent:
    """Build a voter that asks the agent which measures, and votes by what that found."""

    async def vote(work: Work, _: str) -> str:
        said = await work.ask("measure", witness.agent, witness.task)
        if not said.is_good:
            return write(Ballot(abstains=True, reason=f"{witness.agent} could not measure: {said.text[:200]}"))
        return write(read_ballot(witness, msgspec.json.decode(said.text, type=Diagnosis), candidates))

    return build_agent(witness.name, vote, tools=[measures], description=f"Votes by what {witness.agent} measured.")


def read_ballot(witness: Witness, report: Diagnosis, candidates: Sequence[Candidate]) -> Ballot:
    """The ballot that follows from what was found: for the first candidate that the worst finding names."""
    for finding in report.findings:
        for candidate in candidates:
            if is_named(candidate, finding):
                return Ballot(
                    choice=candidate.title,
                    reason=f"{witness.agent}: {finding.title}",
                    confidence=finding.confidence,
                    evidence=tuple(f"{one.fact} [{one.tool}]" for one in finding.evidence[:MOST_EVIDENCE]),
                )
    return Ballot(
        abstains=True,
        reason=f"{witness.agent} found nothing that names a candidate.",
        evidence=report.checked[:MOST_EVIDENCE],
    )


def is_named(candidate: Candidate, finding: Finding) -> bool:
    """Whether a finding names a candidate, and has measured it."""
    words = "\n".join((finding.title, finding.detail, *(one.fact for one in finding.evidence)))
    is_told = all(re.search(pattern, words, re.IGNORECASE) for pattern in candidate.patterns)
    return bool(finding.evidence) and finding.severity in candidate.severities and is_told


def build_planted(accused: Candidate) -> AnyAgent:
    """Build the voter that measures nothing, and always accuses a component that is healthy."""

    async def vote(work: Work, _: str) -> str:
        return write(Ballot(choice=accused.title, reason="It is always the web server.", confidence=1.0))

    return build_agent(PLANTED, vote, description="Accuses the web server, whatever happened.")


def write(ballot: Ballot) -> str:
    """A ballot as JSON."""
    return msgspec.json.encode(ballot).decode()
