"""What does a request need, and which models have it?"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.messages import Audio, File, Image, ToolResult
from quorate.models.routes import Need, RouteRule
from quorate.specs import ModelProfile, Request

NEEDS: tuple[Need, ...] = ("tools", "vision", "audio", "files", "reasoning", "native_output")


def build_route_profile(name: str, profiles: Sequence[ModelProfile]) -> ModelProfile:
    """Build the profile of a route: what holds whichever of its models answers.

    What shapes a request for all of them, and what a limit rests on, must hold for each: schemas, prices, and how much
    may be written. What only some requests need (pictures, tools, a long context) is there when one of them has it,
    as such requests go to that one.
    """
    contexts = [one.context_tokens for one in profiles]
    outputs = [one.max_output_tokens for one in profiles if one.max_output_tokens is not None]
    providers = {one.provider for one in profiles}
    return ModelProfile(
        name=name,
        provider=providers.pop() if len(providers) == 1 else "",
        native_output=all(one.native_output for one in profiles),
        tools=any(one.tools for one in profiles),
        context_tokens=None if None in contexts else max([size for size in contexts if size is not None]),
        priced=all(one.priced for one in profiles),
        max_output_tokens=min(outputs) if outputs else None,
        vision=any(one.vision for one in profiles),
        audio=any(one.audio for one in profiles),
        files=any(one.files for one in profiles),
        reasoning=any(one.reasoning for one in profiles),
    )


def find_needs(request: Request) -> frozenset[Need]:
    """Find what a model must be able to do for a request."""
    needs: set[Need] = set()
    if request.tools:
        needs.add("tools")
    if request.output is not None:
        needs.add("native_output")
    if request.settings.reasoning not in (None, "none"):
        needs.add("reasoning")
    for message in request.messages:
        for part in message.parts:
            kinds = part.content if type(part) is ToolResult and not isinstance(part.content, str) else (part,)
            for one in kinds:
                if type(one) is Image:
                    needs.add("vision")
                elif type(one) is Audio:
                    needs.add("audio")
                elif type(one) is File and not one.media_type.startswith("text/"):
                    needs.add("files")
    return frozenset(needs)


def can(profile: ModelProfile, need: Need) -> bool:
    """Whether a model can do something."""
    return bool(getattr(profile, need))


def list_lacks(profile: ModelProfile, rule: RouteRule) -> list[str]:
    """List what a model lacks of what a route needs, whatever is asked."""
    lacks: list[str] = [need for need in rule.needs if not can(profile, need)]
    if rule.min_context_tokens is not None and (profile.context_tokens or 0) < rule.min_context_tokens:
        lacks.append("context")
    return lacks


def name_needs(rule: RouteRule) -> str:
    """Name what a route needs."""
    words: list[str] = list(rule.needs)
    if rule.min_context_tokens is not None:
        words.append(f"a context of {rule.min_context_tokens} tokens")
    return ", ".join(words)
