"""Which model on Bedrock is asked in these tests?"""

from __future__ import annotations

from typing import cast

import msgspec

from quorate.messages import Part, build_user_message
from quorate.models.providers import bedrock
from quorate.models.target import Target, find_target
from quorate.specs import ModelSettings, Request, ToolSpec

Json = dict[str, object]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ADAPTIVE = "global.anthropic.claude-opus-4-6-v1"
NOVA = "us.amazon.nova-pro-v1:0"
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})


def build_target(name: str = CLAUDE, *, region: str = "us-east-1") -> Target:
    return find_target(f"bedrock:{name}", credentials={"AWS_DEFAULT_REGION": region}.get, base_urls={})


def write(request: Request, name: str = CLAUDE) -> Json:
    """Write a request and read it again as JSON."""
    return cast("Json", msgspec.json.decode(bedrock.encode(request, build_target(name)).body))


def ask(*parts: Part, **settings: object) -> Request:
    message = build_user_message(parts) if parts else build_user_message("Hi")  # type: ignore[arg-type]
    return Request(messages=(message,), settings=ModelSettings(**settings))  # type: ignore[arg-type]
