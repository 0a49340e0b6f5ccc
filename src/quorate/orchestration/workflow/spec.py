"""What is a workflow: steps as data, what each needs of the others, and what happens when one fails?

Texts in arguments are templates: `{city}` stands for an input, `{steps.scan.output.port}` for what a step gave, and
`{item}` for the item of a list. A text that begins with `=` is CEL (see `quorate.conditions`) over `inputs`, `steps`,
`item`, `index` and `last`, and keeps its type.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from quorate.council.plan import Plan
from quorate.council.terms import Abstentions, Silence, Tie
from quorate.specs import Limits

StepId = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,62}$")]
"""Lower case, digits and `_`, so that expressions can name it."""
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
Count = Annotated[int, Meta(ge=1, le=10_000)]
Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
InputType = Literal["string", "integer", "number", "boolean", "list", "object"]
StepKind = Literal["agent", "tool", "workflow", "decide", "ask", "wait", "choose"]


class StrictLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of an agent, of which none can be misspelt."""


class OwnAgent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent that a file brings along, known in that file alone."""

    instructions: Annotated[str, Meta(min_length=1)]
    """What it is for and how it works."""
    description: str = ""
    """What it is for, in a sentence; others choose it by this."""
    tools: tuple[str, ...] = ()
    """The tools that it may call, by name."""
    fields: dict[StepId, InputType] = {}
    """What it answers: an object with these fields, each of its type; text when there are none."""
    model: str = ""
    """The model that it asks, unless a run says another; the settings' when not given."""
    limits: StrictLimits = StrictLimits()
    """The bounds of what it does for one step."""
    answer_tokens: Annotated[int, Meta(ge=1, le=100_000)] = 400
    """About how many tokens its answers have, for estimates."""


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a workflow is given."""

    type: InputType = "string"
    """Of which type it is."""
    description: str = ""
    """What it is, for whoever gives it."""
    default: object = None
    """What it is when it is not given; without one it must be."""
    choices: tuple[object, ...] = ()
    """What it may be; anything of its type when empty."""


class Repeat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make a step again and again."""

    until: str
    """CEL over `last` (what the round gave) beside the others: whether it is enough."""
    most: Count = 5
    """How many rounds at most; when it is not enough then, the step has failed."""


class Undo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How what a step did is taken back when the workflow fails after it."""

    tool: str
    """The tool that is called."""
    arguments: dict[str, object] = {}
    """As a step's; `output` is what the step gave."""


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How agents decide between options."""

    voters: tuple[str, ...]
    """Who votes: agents by name, people as `person:<principal>`."""
    options: tuple[str, ...] = ()
    """What there is to choose from; where there is nothing, the voters propose first."""
    rule: str = "majority"
    """Which option wins, such as `majority`, `supermajority:0.75`, `schulze`."""
    quorum: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Which share of the roll must vote."""
    tie: Tie = "refuse"
    """What becomes of a tie: no decision, the first of `priority`, chance by a recorded seed, or another vote."""
    priority: tuple[str, ...] = ()
    """In which order `priority` prefers options."""
    weights: dict[str, float] = {}
    """What the votes of some weigh; those of the others weigh 1."""
    by_trust: bool = False
    """Whether votes weigh what their voters are trusted."""
    topic: str = ""
    """What it is about, as far as trust goes."""
    abstentions: Abstentions = "present"
    """Whether who abstains is left out of the count, or counts against every option."""
    silence: Silence = "absent"
    """Whether who says nothing is absent, or counts against every option."""
    secret: bool = False
    """Whether no ballot is shown before the last one is in."""
    deadline_s: float | None = None
    """After how many seconds no ballot counts."""
    debate: Annotated[int, Meta(ge=0, le=5)] = 0
    """How many rounds the voters argue before they vote."""
    own_votes: bool = True
    """Whether who proposed an option may vote for it."""
    fallback: tuple[str, ...] = ()
    """What is done in turn where a vote decides nothing: `debate:1`, `arbiter:<agent>`, `person:<who>`, `abort`."""

    @property
    def plan(self) -> Plan:
        """The council's plan."""
        facts = {field: getattr(self, field) for field in self.__struct_fields__ if field != "voters"}
        return Plan(**facts)


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step: exactly one of `agent`, `tool`, `workflow`, `decide`, `ask`, `wait_s`, `choose` says of which kind."""

    id: StepId
    """Its name in the workflow: lower case, digits and `_`."""
    about: str = ""
    """What it is for, in a few words."""
    agent: str = ""
    """The agent that does `task`."""
    task: str = ""
    """What the agent is to do, or what is to be decided."""
    tool: str = ""
    """The tool that is called with `arguments`."""
    workflow: str = ""
    """The workflow that is run with `arguments` as its inputs."""
    decide: Decision | None = None
    """That agents vote on `task`; the step gives the record (`winner`, `why`, `by`, `id`, `rounds`), or fails."""
    arguments: dict[str, object] = {}
    """What a tool or a workflow is given; texts in it are templates."""
    ask: str = ""
    """What a person is asked; the run rests until somebody answers."""
    choices: tuple[str, ...] = ()
    """What may be answered; anything when empty."""
    wait_s: Seconds | None = None
    """How many seconds are waited; long waits hold no process."""
    choose: dict[str, str] = {}
    """CEL by name: the step gives the name of the first that holds."""
    otherwise: str = ""
    """What it gives when none of them holds; without it, it fails."""
    after: tuple[StepId, ...] = ()
    """Steps that come before, beside those that its texts name."""
    join: Literal["all", "any", "ended"] = "all"
    """Which of those must have succeeded: all, at least one, or none of them as long as they have ended."""
    when: str = ""
    """CEL: whether to make it at all; otherwise it is skipped, and so is what needs it."""
    for_each: str = ""
    """CEL that gives a list: it is made for each `item` of it, and gives the list of what came of them."""
    limit: Count = 1_000
    """How many items there may be; more are refused."""
    at_once: Count | None = None
    """How many items are worked on at a time; as many as the workflow's steps when not given."""
    failures: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """How many items may fail without the step failing; what they gave is then null."""
    repeat: Repeat | None = None
    """Make it again and again until it is enough."""
    optional: bool = False
    """Whether the workflow may succeed without it."""
    retries: Annotated[int, Meta(ge=0, le=20)] = 0
    """How often it is tried again when it fails."""
    retry_wait_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """How long is waited before it is, twice as long each time."""
    timeout_s: Seconds | None = None
    """After how many seconds a try is cut, and has failed."""
    undo: Undo | None = None
    """How what it did is taken back when the workflow fails after it."""

    @property
    def council(self) -> str:
        """What the agent is called that has others decide, where they do."""
        return f"decide-{self.id.replace('_', '-')}" if self.decide is not None else ""

    @property
    def kind(self) -> StepKind:
        """Of which kind it is."""
        if self.tool:
            return "tool"
        if self.workflow:
            return "workflow"
        if self.decide is not None:
            return "decide"
        if self.ask:
            return "ask"
        if self.wait_s is not None:
            return "wait"
        return "choose" if self.choose else "agent"


class Workflow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps that together do something."""

    name: Name
    """How it is found and run; no agent and no team has that name."""
    description: str = ""
    """What it does, in a sentence."""
    version: str = "1"
    """Which version of it this is; runs that are under way end by the one they began with."""
    inputs: dict[StepId, Input] = {}
    """What it is given, by name."""
    agents: dict[Name, OwnAgent] = {}
    """Agents that the workflow brings along, by name; each stands before one of the catalog with its name."""
    steps: tuple[Step, ...]
    """What it does; their order in the file does not matter."""
    output: object = None
    """What it gives: a value with templates and CEL in it; what the last step gave when it is not said."""
    artifacts: tuple[str, ...] = ()
    """The names of the artifacts that it leaves: for each, a step calls `save_artifact` with that very name."""
    on_failure: Literal["fail_fast", "continue"] = "fail_fast"
    """What happens to steps that do not need the one that failed: they are not made, or they are."""
    at_once: Count = 16
    """How many steps are made at a time."""
    timeout_s: Seconds = 3600.0
    """How long all of it may take, rests included as far as somebody works on it."""
    max_steps: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    """How many steps, items, rounds and tries there may be in all."""


StepStatus = Literal["completed", "failed", "incomplete", "skipped"]


class StepReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a step."""

    status: StepStatus
    output: object = None
    reason: str = ""
    """Why it failed or was skipped."""
    code: str = ""
    """The code of the error, where it failed."""
    tries: int = 0

    @property
    def is_good(self) -> bool:
        """Whether it did what it was to do."""
        return self.status == "completed"

    @property
    def is_bad(self) -> bool:
        """Whether it was made, and did not do what it was to do."""
        return self.status in ("failed", "incomplete")


class WorkflowReport(Struct, frozen=True, kw_only=True):
    """What came of a workflow that did not fail."""

    workflow: str
    version: str
    status: Literal["completed", "partially_completed"]
    """`partially_completed` where an optional step failed."""
    output: object
    steps: dict[str, StepReport]
    """By id, in the order in which they stand in the workflow, without what they gave."""
