"""Does a document fit a JSON Schema, and where does it not?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from quorate.codec.json import check_depth
from quorate.errors import InvalidInput, MissingExtra, ToolError
from quorate.tools.builtin.checks import Board, Checked, read_source, read_sources
from quorate.tools.workspace import Workspace

# Only names for the checker: at run time the library is an extra and is imported where it is used.
if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_PER_DOCUMENT = 200


def check_json_schema(workspace: Workspace, path: str, schema_path: str, *, most: int) -> Checked:
    """Hold JSON documents, or lines of them, against a schema; references to other files or the web are not followed.

    Raises:
        MissingExtra: `jsonschema-rs` is not installed.
        ToolError: A name is refused or missing, or the schema is none.
    """
    validator = _build(read_source(workspace, schema_path).text, schema_path)
    board = Board("documents", "valid")
    own = workspace.name(workspace.parts(schema_path))

    def is_wanted(name: str) -> bool:
        return name.endswith((".json", ".jsonl", ".ndjson")) and name != own

    for source in read_sources(workspace, path, board, wanted=is_wanted):
        is_lines = source.file.endswith((".jsonl", ".ndjson"))
        for number, text in enumerate(source.lines if is_lines else [source.text], 1):
            if not text.strip():
                continue
            board.count("documents")
            board.item(source.file)
            try:
                faults = list(_find_faults(validator, text))
            except ToolError as error:
                board.note(source.file, number, "not-json", "high", error.message)
                continue
            board.count("valid", int(not faults))
            for rule, place, message in faults:
                board.note(source.file, number, rule, "high", f"{place}: {message}")
    return board.build(path, most=most)


def _build(text: str, path: str) -> Validator:
    try:
        import jsonschema_rs
    except ImportError as error:
        raise MissingExtra("Checking against a JSON Schema", "data") from error
    schema = _read(text, f"The schema {path!r}")
    try:
        return jsonschema_rs.validator_for(
            cast(
                "dict[str, object]", schema
            ),  # a schema is an object or a boolean, and the library says which it is not
            offline=True,
            mask="***",
            # The engine that never backtracks: a schema's patterns are anybody's.
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=4 << 20),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ToolError(f"The schema {path!r} is none: {str(error).splitlines()[0][:300]}.") from error


def _read(text: str, what: str) -> object:
    try:
        check_depth(text)
        return json.loads(text)
    except InvalidInput as error:
        raise ToolError(f"{what} is over a bound: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{what} is no JSON: {str(error)[:200]}.") from error


def _find_faults(validator: Validator, text: str) -> Iterator[tuple[str, str, str]]:
    document = _read(text, "The document")
    for count, error in enumerate(validator.iter_errors(document)):
        if count >= MAX_PER_DOCUMENT:
            return
        place = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        yield str(error.kind.name), place[:200], error.message[:300]
