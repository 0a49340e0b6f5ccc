"""How is a request written for Gemini?"""

from __future__ import annotations

import msgspec

from quorate.errors import InvalidInput
from quorate.models.providers.calls import write_parameters
from quorate.models.providers.checks import RESERVED, Json, add_extra, check_effort, refuse_settings
from quorate.models.providers.gemini.contents import build_contents
from quorate.models.providers.gemini.schema import write_schema
from quorate.models.providers.wishes import check_request
from quorate.models.target import Target
from quorate.specs import ModelSettings, Request

BUDGETS = {"none": 0, "minimal": 512, "low": 2048, "medium": 8192, "high": 24576}
"""Tokens for models that take a number."""
LEVELS = ("minimal", "low", "medium", "high")
_encode = msgspec.json.Encoder().encode


def encode(request: Request, target: Target) -> bytes:
    """Write a request.

    Raises:
        InvalidInput: It holds something that this format cannot carry; nothing is left out in silence.
    """
    check_request(request, target, reserved=RESERVED)
    settings = request.settings
    if settings.prompt_cache == "long":
        raise InvalidInput(
            f"`{target.name}` keeps what comes again by itself, for minutes: ask for `short`, or nothing."
        )
    if settings.parallel_tool_calls is False and request.tools:
        raise InvalidInput(f"`{target.name}` cannot be kept to one call at a time: leave `parallel_tool_calls` out.")
    body: Json = {"contents": build_contents(request.messages, target)}
    if request.instructions:
        body["systemInstruction"] = {"parts": [{"text": request.instructions}]}
    if request.tools:
        _add_tools(body, request, target)
    config = _build_config(settings, target)
    if request.output is not None:
        if request.tools and not _is_new(target):
            raise InvalidInput(f"`{target.name}` is held to a schema or has tools, not both: choose a newer model.")
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = write_schema(request.output.json_schema)
    if config:
        body["generationConfig"] = config
    add_extra(body, settings.extra)
    return _encode(body)


def _is_new(target: Target) -> bool:
    return target.facts is None or target.facts.thinking != "budget"


def _build_config(settings: ModelSettings, target: Target) -> Json:
    if target.facts is not None and not target.facts.sampling:
        refuse_settings(target, settings, "temperature", "top_p", "top_k", why="it chooses its words by itself")
    given: Json = {
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "topK": settings.top_k,
        "maxOutputTokens": settings.max_tokens,
        "seed": settings.seed,
        "stopSequences": settings.stop or None,
        "presencePenalty": settings.presence_penalty,
        "frequencyPenalty": settings.frequency_penalty,
    }
    config = {name: value for name, value in given.items() if value is not None}
    word = settings.reasoning
    if word is not None:
        check_effort(target, word, known=LEVELS if _is_new(target) else BUDGETS)
        thinking: Json = {"thinkingLevel": word.upper()} if _is_new(target) else {"thinkingBudget": BUDGETS[word]}
        config["thinkingConfig"] = thinking | ({} if word == "none" else {"includeThoughts": True})
    return config


def _add_tools(body: Json, request: Request, target: Target) -> None:
    settings = request.settings
    functions = [
        {
            "name": tool.name,
            "description": tool.description,
            "parametersJsonSchema": write_schema(write_parameters(tool)),
        }
        for tool in request.tools
    ]
    body["tools"] = [{"functionDeclarations": functions}]
    choice: Json | None = None
    if settings.tool:
        choice = {"mode": "ANY", "allowedFunctionNames": [settings.tool]}
    elif settings.tool_choice != "auto":
        choice = {"mode": "ANY" if settings.tool_choice == "required" else "NONE"}
    if choice is not None:
        body["toolConfig"] = {"functionCallingConfig": choice}
