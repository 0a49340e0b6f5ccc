"""Given what was measured so far, which calls come next?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

import msgspec
from msgspec import Struct

from quorate.codec.json import check_depth
from quorate.errors import QuorateError
from quorate.messages import Message, Text, ToolCall, ToolResult
from quorate.models.playbook.define import Playbook, Step
from quorate.models.playbook.extract import extract_target
from quorate.models.playbook.scope import Expressions, find_dependencies, find_needs, find_steps, prune
from quorate.models.playbook.words import fill_template

Values = dict[str, object]


class State(Struct, kw_only=True):
    """What is known at one moment of a procedure; built anew from the messages each time."""

    request: str
    targets: Values
    results: Values = {}
    """What steps measured: an object with `_call` (and `_item`), or a list of them where a step is `for_each`."""
    errors: dict[str, list[Values]] = {}
    """What steps could not measure: `{message, code, item}`."""
    settled: set[str] = set()
    """Steps that have ended, or were left out."""
    calls: dict[str, str] = {}
    """The tool of each call that has ended."""
    pending: list[ToolCall] = []
    """The calls to make now."""
    gaps: list[str] = []
    """What could not be measured, and why."""
    measured: int = 0
    """How many calls gave a result."""

    def variables(self, **more: object) -> Values:
        """What expressions see."""
        return {
            "request": self.request.lower(),
            "targets": self.targets,
            "results": self.results,
            "errors": self.errors,
            **more,
        }


def read_request(messages: Collection[Message]) -> tuple[str, dict[str, ToolResult]]:
    """Find the last thing a person asked, and the results of calls made since."""
    text, answers = "", dict[str, ToolResult]()
    for message in messages:
        if message.role == "user":
            text, answers = message.text, {}
        else:
            answers.update({part.call_id: part for part in message.parts if isinstance(part, ToolResult)})
    return text, answers


def begin(playbook: Playbook, expressions: Expressions, request: str) -> tuple[State, bool]:
    """Find the targets that the request names, and whether the playbook applies."""
    targets = {
        name: extract_target(target, () if target.source else (request,)) for name, target in playbook.targets.items()
    }
    state = State(request=request, targets=targets)
    applies = not playbook.applies or expressions.read(playbook.applies).holds(state.variables())
    return state, applies


def advance(
    playbook: Playbook,
    expressions: Expressions,
    state: State,
    *,
    answers: Mapping[str, ToolResult],
    offered: Collection[str],
) -> State:
    """Settle every step that can be settled, and put the calls that can be made now into `state.pending`."""
    waiting = {step.id: (step, find_dependencies(playbook, step)) for step in playbook.steps}
    progressed = True
    while progressed:
        progressed = False
        for name, (step, needs) in list(waiting.items()):
            if not needs <= state.settled:
                continue
            calls = _build_calls(step, expressions, state, offered)
            missing = [call for call, _ in calls if call.id not in answers]
            del waiting[name]
            if missing:
                state.pending += missing
                continue
            _settle(step, state, calls, answers)
            _derive_targets(playbook, expressions, state)
            progressed = True
    return state


def _derive_targets(playbook: Playbook, expressions: Expressions, state: State) -> None:
    """Find the targets that are named in results, once those are there."""
    for name, target in playbook.targets.items():
        if not target.source or not find_steps(playbook, [target.source]) <= state.settled:
            continue
        if find_needs(target.source) - state.results.keys():
            continue
        try:
            value = expressions.read(target.source).evaluate(prune(state.variables(), target.source))
        except QuorateError as error:
            _note(state, f"what {name!r} stands for: {error.message}")
            continue
        # What an expression gives is of no static type; what is no text is passed over.
        texts = cast("list[object]", value) if isinstance(value, list) else [value]
        state.targets[name] = extract_target(target, [text for text in texts if isinstance(text, str)])


def _build_calls(
    step: Step, expressions: Expressions, state: State, offered: Collection[str]
) -> list[tuple[ToolCall, object]]:
    """Build a step's calls with their items; none when it is left out."""
    texts = " ".join([step.when, step.for_each, msgspec.json.encode(step.arguments).decode()])
    lost = find_needs(texts) - state.results.keys()
    if lost:
        for name in sorted(lost):
            if state.errors.get(name):
                _note(state, f"`{step.tool}` ({step.about or step.id}): it needs what `{name}` would have given")
        return []
    try:
        if step.when and not expressions.read(step.when).holds(prune(state.variables(), step.when)):
            return []
        items = _list_items(step, expressions, state)
        if step.tool not in offered:
            if items:
                _note(state, f"`{step.tool}` ({step.about or step.id}): this agent does not have that tool")
            return []
        return [(_build_call(step, expressions, state, item, place), item) for place, item in enumerate(items, 1)]
    except QuorateError as error:
        _note(state, f"`{step.tool}` ({step.about or step.id}): {error.message}")
        return []


def _list_items(step: Step, expressions: Expressions, state: State) -> list[object]:
    if not step.for_each:
        return [None]
    value = expressions.read(step.for_each).evaluate(prune(state.variables(), step.for_each))
    # What an expression gives is of no static type.
    listed = cast("list[object]", value) if isinstance(value, list) else [] if value is None else [value]
    items: list[object] = []
    for item in listed:
        if item not in items:
            items.append(item)
    if len(items) > step.limit:
        _note(state, f"`{step.tool}` ({step.about or step.id}): only the first {step.limit} of {len(items)} were asked")
    return items[: step.limit]


def _build_call(step: Step, expressions: Expressions, state: State, item: object, place: int) -> ToolCall:
    variables = state.variables(item=item)
    arguments = {
        name: value
        for name, given in step.arguments.items()
        if (value := _fill(given, expressions, variables, item)) is not None
    }
    call_id = f"{step.id}-{place}" if step.for_each else step.id
    return ToolCall(id=call_id, name=step.tool, arguments=msgspec.json.encode(arguments).decode())


def _fill(given: object, expressions: Expressions, variables: Values, item: object) -> object:
    if isinstance(given, str):
        if given.startswith("="):
            return expressions.read(given[1:]).evaluate(prune(variables, given))
        fields = cast(Values, item) if isinstance(item, dict) else {}
        whole: Values = {"item": item}
        return fill_template(given, whole, fields, cast(Values, variables["targets"]))
    if isinstance(given, dict):
        members = cast(Values, given)
        return {name: _fill(value, expressions, variables, item) for name, value in members.items()}
    if isinstance(given, list):
        return [_fill(value, expressions, variables, item) for value in cast("list[object]", given)]
    return given


def _settle(step: Step, state: State, calls: list[tuple[ToolCall, object]], answers: Mapping[str, ToolResult]) -> None:
    state.settled.add(step.id)
    state.errors.setdefault(step.id, [])
    found: list[Values] = []
    for call, item in calls:
        answer = answers[call.id]
        state.calls[call.id] = call.name
        text = _read_text(answer)
        if answer.is_error:
            state.errors[step.id].append({"message": text, "code": answer.code, "item": item, "_call": call.id})
            _note(state, f"`{step.tool}` ({_describe(step, item)}): {text[:300]}")
            continue
        state.measured += 1
        value = _read_value(text)
        fields = cast(Values, value) if isinstance(value, dict) else {"value": value}
        found.append({**fields, "_call": call.id, "_tool": call.name, "_item": item})
    if step.for_each and (calls or not step.when):
        state.results[step.id] = found
    elif found:
        state.results[step.id] = found[0]


def _describe(step: Step, item: object) -> str:
    about = step.about or step.id
    if isinstance(item, dict):
        fields = cast(Values, item)
        item = fields.get("url") or ":".join(str(fields[key]) for key in ("host", "port") if key in fields)
    return f"{about}: {item}" if item else about


def _read_text(answer: ToolResult) -> str:
    if isinstance(answer.content, str):
        return answer.content
    return "".join([part.text for part in answer.content if isinstance(part, Text)])


def _read_value(text: str) -> object:
    if not text.startswith(("{", "[", '"')):
        return text
    try:
        check_depth(text)
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, QuorateError):
        return text


def _note(state: State, gap: str) -> None:
    if gap not in state.gaps:
        state.gaps.append(gap)
