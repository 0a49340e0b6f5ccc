"""What does the reference page of the HTTP API say, from the server's own description?"""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOUNDS = {
    "minLength": "from {} characters",
    "maxLength": "up to {} characters",
    "minItems": "from {} items",
    "maxItems": "up to {} items",
    "minProperties": "from {} names",
    "maxProperties": "up to {} names",
    "minimum": "{} or more",
    "exclusiveMinimum": "more than {}",
    "maximum": "{} or less",
    "exclusiveMaximum": "less than {}",
    "pattern": "`{}`",
}


async def describe_server() -> dict[str, Any]:
    """The OpenAPI document of a server of this version, with nothing in it."""
    from quorate.assembly import open_runtime
    from quorate.security.keys import KeyRing
    from quorate.server.access import Doorkeeper
    from quorate.server.app import Server
    from quorate.settings import Settings

    with tempfile.TemporaryDirectory() as place:
        async with open_runtime(Settings(database=str(Path(place) / "quorate.db"))) as runtime:
            keys = KeyRing(runtime.store.values, pepper=bytes(range(32)))
            return Server(runtime, Doorkeeper(keys)).describe()


def build_http() -> str:
    """Every route by its group: what it needs, what it takes and what it answers; then all values."""
    return write_page(asyncio.run(describe_server()))


def write_page(document: Mapping[str, Any]) -> str:
    """The page of one document."""
    text = "# HTTP API\n\n<!-- Written by `make docs`; edit the source instead. -->\n\n"
    text += f"{document['info']['description'].strip()}\n\n"
    text += "The same for programs is at `GET /schema/openapi.json` (OpenAPI 3.1); no key is needed to read it.\n"
    text += "How to serve, and what keys, versions and tags are, is told in [how to serve](../how-to/serve.md).\n"
    for tag in document["tags"]:
        text += f"\n## {tag['name'].capitalize()}\n\n{tag['description']}\n"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    text += write_operation(document, method.upper(), path, operation)
    text += "\n## Values\n\nWhat bodies and answers are made of; a field that may be absent says what it is then.\n"
    for name, schema in document["components"]["schemas"].items():
        text += write_value(name, schema)
    return text


def write_operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    """The section of one route."""
    needed = operation.get("x-quorate-needs")
    right = f"Needs `{needed}`." if needed else "Needs no key."
    late = " **It will go**: see the headers of its answers." if operation.get("deprecated") else ""
    text = f"\n### `{method} {path}`\n\n{operation['summary']}. {right}{late}\n"
    if operation["description"]:
        text += f"\n{operation['description']}\n"
    parameters = [one for one in operation["parameters"] if "$ref" not in one]
    if parameters:
        text += "\n| parameter | in | type | meaning |\n|---|---|---|---|\n"
        for one in parameters:
            need = " (required)" if one["required"] and one["in"] != "path" else ""
            kind = escape(write_type(one["schema"])) + need
            if "default" in one["schema"]:
                kind += write_default(one["schema"])
            text += f"| `{one['name']}` | {one['in']} | {kind} | {escape(one.get('description', ''))} |\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        needed = "" if operation["requestBody"].get("required") else ", or nothing"
        text += f"\nBody: {write_type(content['schema'])}{needed} (`{kind}`).\n"
    text += "\n| status | answer |\n|---|---|\n"
    refusals: list[str] = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            refusals.append(status)
            continue
        parts = [f"{write_type(one['schema'])} (`{kind}`)" for kind, one in answer.get("content", {}).items()]
        said = answer["description"].rstrip(".")
        text += f"| {status} | {escape(said)}{': ' if parts else ''}{' or '.join(parts)} |\n"
    if refusals:
        form = (
            "an error of its protocol" if operation["tags"][0] in ("openai", "anthropic") else "[`Problem`](#problem)"
        )
        text += f"| {', '.join(refusals)} | {form} |\n"
    return text


def write_value(name: str, schema: Mapping[str, Any]) -> str:
    """The section of one value."""
    text = f"\n### `{show_name(name)}`\n\n{schema.get('description', '')}\n".replace("\n\n\n", "\n")
    if "properties" not in schema:
        return f"{text}\n{write_type(schema)}\n"
    text += "\n| field | type | meaning |\n|---|---|---|\n"
    for field, one in schema["properties"].items():
        kind = write_type(one) + ("" if field in schema.get("required", []) else write_default(one))
        text += f"| `{field}` | {escape(kind)} | {escape(one.get('description', ''))} |\n"
    return text


def write_default(schema: Mapping[str, Any]) -> str:
    """What a field is that is absent."""
    given = schema.get("default")
    if given is None or given in ("", [], (), {}):
        return ", or absent"
    if isinstance(given, list | tuple):
        given = ", ".join(map(str, given))
    return f"; `{str(given).lower() if isinstance(given, bool) else given}` when absent"


def write_type(schema: Mapping[str, Any]) -> str:
    """A type in words, with its bounds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{show_name(name)}`](#{anchor(show_name(name))})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(write_type(one) for one in schema[several])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any JSON")
    if kind == "array":
        items = schema.get("items")
        kind = f"list of {write_type(items)}" if items else "list"
    elif kind == "object" and schema.get("additionalProperties"):
        kind = f"names with {write_type(schema['additionalProperties'])}"
    elif "format" in schema:
        kind = f"{kind} ({schema['format']})"
    said = [words.format(write_number(schema[name])) for name, words in BOUNDS.items() if name in schema]
    return f"{kind} ({', '.join(said)})" if said else kind


def write_number(value: object) -> str:
    """A bound, without digits that say nothing."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def show_name(name: str) -> str:
    """The name of a value: what it is a page or a report of is said in words."""
    outer, _, inner = name.strip("_").partition("_")
    return f"{outer} of {inner}" if inner else name


def anchor(name: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return "".join("-" if letter == " " else letter for letter in name.lower() if letter.isalnum() or letter in "-_ ")


def escape(text: str) -> str:
    """A cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")
