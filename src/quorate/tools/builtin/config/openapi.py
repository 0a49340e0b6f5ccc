"""What is wrong with the description of an HTTP interface in OpenAPI or Swagger?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Severity, Source
from quorate.tools.builtin.trees import Tree, read_json, read_yaml
from quorate.tools.workspace import Workspace

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PARAMETER = re.compile(r"\{([^{}/]{1,100})\}")
_STATUS = re.compile(r"[1-5](?:\d\d|XX)|default")


def is_openapi(path: str) -> bool:
    """Tell whether a name is one of an OpenAPI document."""
    name = path.rpartition("/")[2].lower()
    return name.endswith((".json", ".yaml", ".yml")) and ("openapi" in name or "swagger" in name)


def check_openapi(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every OpenAPI document; references to other files are not followed.

    Raises:
        MissingExtra: It is YAML, and `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("paths", "operations", "schemas")
    for source in read_sources(workspace, path, board, wanted=is_openapi):
        try:
            trees = [read_json(source.text)] if source.text.lstrip().startswith("{") else read_yaml(source.text)
        except ToolError as error:
            board.find(source, 1, "not-readable", "high", error.message)
            continue
        if trees:
            _Check(source, trees[0], board).run()
    return board.build(path, most=most)


class _Check:
    """One look at one document."""

    def __init__(self, source: Source, root: Tree, board: Board) -> None:
        self.source, self.root, self.board = source, root, board
        self.ids: dict[str, str] = {}
        self.used: set[str] = set()
        self.secured = bool(root.at("security").items)

    def find(self, tree: Tree, rule: str, severity: Severity, message: str) -> None:
        self.board.find(self.source, tree.line or 1, rule, severity, message)

    def run(self) -> None:
        root = self.root
        if not root.at("openapi").text and not root.at("swagger").text:
            self.find(root, "no-version", "high", "neither `openapi` nor `swagger` says which version this is")
        for field in ("title", "version"):
            if not root.at("info", field).text:
                self.find(root.at("info"), "no-info", "medium", f"`info.{field}` is missing")
        for server in root.at("servers").items:
            url = server.at("url").text
            if url.startswith("http://") and "localhost" not in url and "127.0.0.1" not in url:
                self.find(server, "plain-http", "medium", f"`{url}` can be read on the way")
        for path, place in root.at("paths").fields.items():
            self.board.count("paths")
            if not path.startswith("/"):
                self.find(place, "bad-path", "high", f"the path `{path}` does not begin with `/`")
            for method in _METHODS:
                if method in place:
                    self.check_operation(path, method, place, place.at(method))
        self.check_references()

    def check_operation(self, path: str, method: str, place: Tree, one: Tree) -> None:
        where = f"{method.upper()} {path}"
        self.board.count("operations")
        self.board.item(where)
        name = one.at("operationId").text
        if not name:
            self.find(
                one, "no-operation-id", "low", f"{where} has no `operationId`; clients are generated without a name"
            )
        elif name in self.ids:
            self.find(
                one, "double-operation-id", "high", f"{where} has the `operationId` of {self.ids[name]}: `{name}`"
            )
        self.ids.setdefault(name, where)
        if not one.at("summary").text and not one.at("description").text:
            self.find(one, "no-description", "low", f"{where} is not described")
        self.check_responses(where, one)
        self.check_parameters(where, path, [*place.at("parameters").items, *one.at("parameters").items], one)
        if not self.secured and not one.at("security").items and method != "get":
            self.find(one, "no-security", "medium", f"{where} declares no `security`")
        if method in ("get", "head", "delete") and "requestBody" in one:
            self.find(one, "body-of-get", "medium", f"{where} takes a body, which many clients and proxies drop")
        if one.at("deprecated").is_true and not one.at("description").text:
            self.find(one, "bare-deprecation", "low", f"{where} is deprecated and does not say what to use")

    def check_responses(self, where: str, one: Tree) -> None:
        answers = one.at("responses")
        if not answers.fields:
            self.find(one, "no-responses", "high", f"{where} has no `responses`")
            return
        codes = list(answers.fields)
        for code in codes:
            if not _STATUS.fullmatch(code) and not code.startswith("x-"):
                self.find(answers, "bad-status", "high", f"{where}: `{code}` is no status")
            answer = answers.at(code)
            if "$ref" not in answer and not answer.at("description").text:
                self.find(answer, "no-description", "medium", f"{where}: the answer `{code}` has no `description`")
        if not any(code.startswith(("2", "3", "1")) or code == "default" for code in codes):
            self.find(answers, "no-success", "medium", f"{where} tells no answer of success")
        if not any(code.startswith("4") or code == "default" for code in codes):
            self.find(answers, "no-error", "low", f"{where} tells no error")

    def check_parameters(self, where: str, path: str, parameters: list[Tree], one: Tree) -> None:
        resolved = [self.resolve(parameter) for parameter in parameters]
        declared = {item.at("name").text for item in resolved if item.at("in").text == "path"}
        named = set(_PARAMETER.findall(path))
        for name in sorted(named - declared):
            self.find(one, "undeclared-parameter", "high", f"{where}: `{{{name}}}` is not declared")
        for name in sorted(declared - named):
            self.find(one, "unknown-parameter", "high", f"{where}: `{name}` is declared and not in the path")
        seen: set[tuple[str, str]] = set()
        for item in resolved:
            key = (item.at("in").text, item.at("name").text)
            if key in seen and key[1]:
                self.find(item, "double-parameter", "high", f"{where}: `{key[1]}` is declared twice")
            seen.add(key)
            if key[0] == "path" and not item.at("required").is_true:
                self.find(item, "optional-path", "medium", f"{where}: `{key[1]}` is in the path and must be `required`")

    def resolve(self, tree: Tree) -> Tree:
        reference = tree.at("$ref").text
        return self.target(reference) if reference.startswith("#/") else tree

    def target(self, reference: str) -> Tree:
        names = [part.replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")]
        return self.root.at(*names)

    def check_references(self) -> None:
        for place, tree in self.references():
            reference = tree.at("$ref").text
            if not reference.startswith("#/"):
                continue
            self.used.add(reference)
            if not self.target(reference):
                self.find(tree, "broken-reference", "high", f"{place}: there is no `{reference}`")
        for prefix, schemas in (
            ("#/components/schemas/", self.root.at("components", "schemas")),
            ("#/definitions/", self.root.at("definitions")),
        ):
            for name, schema in schemas.fields.items():
                self.board.count("schemas")
                if prefix + name not in self.used:
                    self.find(schema, "unused-schema", "low", f"nothing uses the schema `{name}`")

    def references(self) -> Iterator[tuple[str, Tree]]:
        return ((place, tree) for place, tree in self.root.walk() if tree.at("$ref").text)
