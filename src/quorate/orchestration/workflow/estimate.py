"""What will a run of a workflow cost, before any of it is run?

The workflow is gone through with answers of the lengths that its agents are said to give, so that what one step hands
to the next counts where it is read. Nothing is asked and nothing is called; the same arguments give the same estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from msgspec import Struct, structs

from quorate.agent.agent import AnyAgent
from quorate.council.plan import PERSON
from quorate.errors import QuorateError
from quorate.messages import Usage, build_user_message
from quorate.models.cost import Price, cost_usd
from quorate.models.tokens import estimate_request, estimate_text, find_family
from quorate.orchestration.workflow.own import build_own
from quorate.orchestration.workflow.plan import list_needs
from quorate.orchestration.workflow.show import list_levels
from quorate.orchestration.workflow.spec import InputType, OwnAgent, Step, Workflow
from quorate.orchestration.workflow.values import Expressions, find_steps
from quorate.ports import Toolset
from quorate.specs import Request

ITEMS = 3
"""How many items a list is taken to have that an agent gives."""
ROUNDS = 2
"""How many rounds a step is taken to be repeated."""
TURNS = 2
"""How often an agent with tools is taken to call one before it answers."""
CALL_TOKENS = 30
"""What a call of a tool comes to."""
RESULT_TOKENS = 400
"""What a tool is taken to give."""
OTHER_TOKENS = 1_500
"""What an agent of the catalog is taken to be told beside its task."""
OTHER_ANSWER_TOKENS = 400
ASSUMPTIONS = (
    f"Lists that agents give have {ITEMS} items; steps that are repeated take {ROUNDS} rounds; nothing is tried again.",
    f"Agents with tools call {TURNS} of them, which give {RESULT_TOKENS} tokens each.",
    "Conditions over inputs and choices of people are worked out (of choices, the first); all others hold.",
    f"Agents of the catalog are told {OTHER_TOKENS} tokens beside their task, and answer with {OTHER_ANSWER_TOKENS}.",
)
_WORD = "about "
_WORD_CHARS = 4
"""How many characters of such words are a token."""


class StepEstimate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step will come to."""

    step: str
    times: int = 1
    """How often it is made: for each item, or round by round; 0 where it is skipped."""
    usage: Usage = Usage()
    cost_usd: float | None = 0.0


class Estimate(Struct, frozen=True, kw_only=True):
    """What a run will come to."""

    workflow: str
    model: str
    usage: Usage
    cost_usd: float | None
    """`None` when no price is known."""
    steps: tuple[StepEstimate, ...]
    assumptions: tuple[str, ...] = ASSUMPTIONS


class _Guess(Struct, frozen=True):
    times: int
    usage: Usage
    output: object


def estimate_workflow(
    workflow: Workflow,
    inputs: Mapping[str, object],
    *,
    tools: Mapping[str, Toolset],
    workflows: Mapping[str, Workflow] | None = None,
    price: Price | None = None,
    model: str = "",
) -> Estimate:
    """Estimate what a run of a workflow will cost.

    Args:
        workflow: The graph, checked.
        inputs: What it is given, checked.
        tools: What has a tool, by the tool's name: agents are told of theirs.
        workflows: Those that its steps name.
        price: What tokens cost; without one there is no cost, but the tokens all the same.
        model: The model that is asked, whose way of counting holds.
    """
    guesses, _ = _Walk(workflow, inputs, tools=tools, workflows=workflows or {}, model=model).go()
    steps = [
        StepEstimate(step=step.id, times=guess.times, usage=guess.usage, cost_usd=cost_usd(guess.usage, price))
        for step in workflow.steps
        if (guess := guesses.get(step.id)) is not None
    ]
    usage = sum((step.usage for step in steps), Usage())
    return Estimate(
        workflow=workflow.name, model=model, usage=usage, cost_usd=cost_usd(usage, price), steps=tuple(steps)
    )


class _Walk:
    """A workflow while it is gone through once."""

    def __init__(
        self,
        workflow: Workflow,
        inputs: Mapping[str, object],
        *,
        tools: Mapping[str, Toolset],
        workflows: Mapping[str, Workflow],
        model: str,
    ) -> None:
        self._workflow = workflow
        self._inputs = inputs
        self._tools = tools
        self._workflows = workflows
        self._model = model
        self._family = find_family(model)
        self._expressions = Expressions()
        self._guesses: dict[str, _Guess] = {}
        self._agents: dict[str, AnyAgent] = {}
        self._known: set[str] = set()
        """Steps whose results are known and not taken: choices."""

    def go(self) -> tuple[dict[str, _Guess], object]:
        """Go through all steps; return what each comes to, and what the workflow gives."""
        last: object = None
        for level in list_levels(self._workflow):
            for step in level:
                guess = self._guess(step)
                self._guesses[step.id] = guess
                last = guess.output if guess.times else last
        output = self._fill(self._workflow.output) if self._workflow.output is not None else last
        return self._guesses, output

    def _guess(self, step: Step) -> _Guess:
        if self._is_skipped(step):
            return _Guess(0, Usage(), None)
        if step.kind in ("choose", "ask"):
            self._known.add(step.id)
            first = next(iter(step.choose)) if step.choose else next(iter(step.choices), _write_words(20))
            return _Guess(1, Usage(), first)
        items, rounds = self._list_items(step), min(ROUNDS, step.repeat.most) if step.repeat is not None else 1
        usage, output, outputs = Usage(), cast("object", None), list[object]()
        for place, item in enumerate(items if items is not None else range(rounds)):
            more = {"item": item, "index": place} if items is not None else {"last": output, "index": place}
            one, output = self._make(step, more)
            usage += one
            outputs.append(output)
        return _Guess(len(outputs), usage, outputs if items is not None else output)

    def _is_skipped(self, step: Step) -> bool:
        needs = [name for name in list_needs(step) if name in self._guesses]
        skipped = [name for name in needs if not self._guesses[name].times]
        if (step.join == "all" and skipped) or (step.join == "any" and skipped and len(skipped) == len(needs)):
            return True
        if not step.when or not find_steps(f"={step.when}") <= self._known:
            return False
        try:
            return not self._expressions.holds(step.when, self._build_values({}))
        except QuorateError:
            return False

    def _list_items(self, step: Step) -> list[object] | None:
        if not step.for_each:
            return None
        try:
            found = self._expressions.evaluate(step.for_each, self._build_values({}))
        except QuorateError:
            found = None
        if isinstance(found, list):
            return cast("list[object]", found)[: step.limit]
        return [_write_words(20) for _ in range(ITEMS)]

    def _make(self, step: Step, more: Mapping[str, object]) -> tuple[Usage, object]:
        if step.kind == "agent":
            return self._ask(step, more)
        if step.decide is not None:
            decision, options = step.decide, step.decide.options or (_write_words(20),)
            asked = [name for name in decision.voters if not name.startswith(PERSON)]
            votes = [self._ask(structs.replace(step, agent=name, decide=None), more)[0] for name in asked]
            rounds = 1 + decision.debate + (not decision.options)
            return sum(votes * rounds, Usage()), {"winner": options[0], "why": _write_words(20)}
        if step.kind == "workflow":
            given = self._fill(step.arguments, more)
            inner = self._workflows[step.workflow]
            rules = {name: rule.default for name, rule in inner.inputs.items()}
            inputs = {**rules, **cast("dict[str, object]", given if isinstance(given, dict) else {})}
            walk = _Walk(inner, inputs, tools=self._tools, workflows=self._workflows, model=self._model)
            guesses, output = walk.go()
            return sum((guess.usage for guess in guesses.values()), Usage()), output
        return Usage(), _write_words(RESULT_TOKENS)

    def _ask(self, step: Step, more: Mapping[str, object]) -> tuple[Usage, object]:
        task = self._fill(step.task, more)
        text = task if isinstance(task, str) else str(task)
        own = self._workflow.agents.get(step.agent)
        if own is None:
            read = OTHER_TOKENS + estimate_text(text, self._family)
            usage = Usage(input_tokens=read, output_tokens=OTHER_ANSWER_TOKENS, requests=1)
            return usage, _write_words(OTHER_ANSWER_TOKENS)
        if step.agent not in self._agents:
            self._agents[step.agent] = build_own(step.agent, own, tools=self._tools)
        return estimate_agent(self._agents[step.agent], own, text, model=self._model), _answer(own)

    def _fill(self, given: object, more: Mapping[str, object] | None = None) -> object:
        try:
            return self._expressions.fill(given, self._build_values(more or {}))
        except QuorateError:  # what a tool gives has fields that nobody knows before
            return given if isinstance(given, str) else _write_words(RESULT_TOKENS)

    def _build_values(self, more: Mapping[str, object]) -> dict[str, object]:
        steps = {
            name: {"status": "completed" if guess.times else "skipped", "output": guess.output, "reason": ""}
            for name, guess in self._guesses.items()
        }
        return {"inputs": self._inputs, "steps": steps, **more}


def estimate_agent(agent: AnyAgent, own: OwnAgent, task: str, *, model: str = "") -> Usage:
    """Estimate what an agent uses up for a task: with tools, it reads again with each turn what was there before."""
    compiled = agent.compiled
    request = Request(
        messages=(build_user_message(task),),
        instructions=own.instructions,
        tools=tuple(compiled.specs),
        output=compiled.output.spec if own.fields else None,
    )
    first, turns = estimate_request(request, model), TURNS if own.tools else 0
    read = sum(first + turn * (CALL_TOKENS + RESULT_TOKENS) for turn in range(turns + 1))
    return Usage(
        input_tokens=read, output_tokens=own.answer_tokens + turns * CALL_TOKENS, requests=turns + 1, tool_calls=turns
    )


def _answer(own: OwnAgent) -> object:
    """Build an answer of the length and the form that an agent gives."""
    if not own.fields:
        return _write_words(own.answer_tokens)
    wordy = [kind for kind in own.fields.values() if kind in ("string", "list", "object")]
    share = max(1, own.answer_tokens // max(1, len(wordy)))
    return {name: _build_field(kind, share) for name, kind in own.fields.items()}


def _build_field(kind: InputType, tokens: int) -> object:
    built: dict[InputType, object] = {
        "string": _write_words(tokens),
        "integer": 1,
        "number": 1.0,
        "boolean": True,
        "list": [_write_words(max(1, tokens // ITEMS))] * ITEMS,
        "object": {"text": _write_words(tokens)},
    }
    return built[kind]


def _write_words(tokens: int) -> str:
    return (_WORD * (1 + tokens * _WORD_CHARS // len(_WORD)))[: tokens * _WORD_CHARS]
