"""How do other systems write down what our tools are?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from quorate.specs import ToolSpec
from quorate.tools.schema import Schema


def build_openai_tools(specs: Sequence[ToolSpec]) -> list[Schema]:
    """Build the `tools` of an OpenAI chat completions request."""
    return [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        }
        for spec in specs
    ]


def build_anthropic_tools(specs: Sequence[ToolSpec]) -> list[Schema]:
    """Build the `tools` of an Anthropic messages request."""
    return [{"name": spec.name, "description": spec.description, "input_schema": spec.parameters} for spec in specs]


def build_openapi(specs: Sequence[ToolSpec], *, title: str = "Tools", version: str = "1") -> Schema:
    """Build an OpenAPI 3.1 document in which every tool is a `POST /tools/{name}`.

    Definitions inside a tool's schema move to the document's components, under names that begin with the tool's.
    """
    paths: Schema = {}
    components: Schema = {}
    for spec in specs:
        parameters = _rebase(spec.parameters, spec.name, components)
        operation: Schema = {
            "operationId": spec.name,
            "summary": spec.description.split("\n", 1)[0],
            "description": spec.description,
            "requestBody": {"required": True, "content": {"application/json": {"schema": parameters}}},
            "responses": {"200": {"description": "What the tool returned.", "content": {"application/json": {}}}},
        }
        if spec.deprecated:
            operation["deprecated"] = True
        paths[f"/tools/{spec.name}"] = {"post": operation}
    info = {"title": title, "version": version}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _rebase(schema: Schema, prefix: str, components: Schema) -> Schema:
    """Move a schema's own definitions into `components` and point its references there."""

    def walk(node: object) -> object:
        if isinstance(node, dict):
            pairs = cast("Schema", node).items()
            return {key: point(value) if key == "$ref" else walk(value) for key, value in pairs}
        if isinstance(node, list):
            return [walk(item) for item in cast("list[object]", node)]
        return node

    def point(reference: object) -> str:
        return f"#/components/schemas/{prefix}.{str(reference).rpartition('/')[2]}"

    definitions = cast("Schema", schema.get("$defs", {}))
    components.update({f"{prefix}.{name}": walk(definition) for name, definition in definitions.items()})
    return cast("Schema", walk({key: value for key, value in schema.items() if key != "$defs"}))
