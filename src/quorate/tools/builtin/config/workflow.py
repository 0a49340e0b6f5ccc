"""What is wrong with the workflows of GitHub Actions?"""

from __future__ import annotations

import re

from quorate.errors import ToolError
from quorate.tools.builtin.checks import Board, Checked, read_sources
from quorate.tools.builtin.code.finding import Source
from quorate.tools.builtin.code.secrets import find_secrets
from quorate.tools.builtin.trees import Tree, read_yaml
from quorate.tools.workspace import Workspace

_HASH = re.compile(r"[0-9a-f]{40}")
_INJECTED = re.compile(
    r"\$\{\{\s{0,20}(github\.(?:head_ref|event\.(?:issue|pull_request|comment|review|discussion|head_commit|commits|pages)"
    r"[\w.\[\]*]{0,60}\.?(?:title|body|name|email|message|ref|label|page_name)?))\s{0,20}\}\}"
)
_UNTRUSTED = ("title", "body", "message", "email", "name", "ref", "head_ref", "label", "page_name")
_OWN = ("actions/", "github/")


def is_workflow(path: str) -> bool:
    """Tell whether a name is one of a workflow or an action."""
    name = path.rpartition("/")[2]
    return (".github/workflows/" in f"/{path}" and name.endswith((".yml", ".yaml"))) or name in (
        "action.yml",
        "action.yaml",
    )


def check_workflows(workspace: Workspace, path: str, *, most: int) -> Checked:
    """Check every workflow and composite action.

    Raises:
        MissingExtra: `pyyaml` is not installed.
        ToolError: The name is refused or missing.
    """
    board = Board("workflows", "jobs", "steps")
    for source in read_sources(workspace, path, board, wanted=is_workflow):
        try:
            documents = read_yaml(source.text)
        except ToolError as error:
            board.find(source, 1, "not-yaml", "high", error.message)
            continue
        for document in documents:
            _check_file(source, document, board)
    return board.build(path, most=most)


def _check_file(source: Source, document: Tree, board: Board) -> None:
    if "runs" in document:
        for step in document.at("runs", "steps").items:
            _check_step(source, step, board)
        return
    board.count("workflows")
    triggers = document.at("on")
    events = {*triggers.fields, *(one.text for one in triggers.items), triggers.text}
    if "permissions" not in document and any("permissions" not in job for job in document.at("jobs").fields.values()):
        message = "without `permissions` the token may have rights over everything; begin with `contents: read`"
        board.find(source, document.at("jobs").line or 1, "no-permissions", "medium", message)
    _check_permissions(source, document, board)
    _check_environment(source, document, "every job", board)
    for name, job in document.at("jobs").fields.items():
        board.count("jobs")
        board.item(name)
        _check_job(source, name, job, events, board)
        for other in [job.at("needs").text, *(one.text for one in job.at("needs").items)]:
            if other and other not in document.at("jobs"):
                message = f"the job `{name}` needs `{other}`, and there is no such job"
                board.find(source, job.at("needs").line, "unknown-job", "high", message)


def _check_permissions(source: Source, place: Tree, board: Board) -> None:
    if place.at("permissions").text == "write-all":
        message = "the token has rights over everything; name those it needs"
        board.find(source, place.at("permissions").line, "all-permissions", "high", message)


def _check_environment(source: Source, place: Tree, where: str, board: Board) -> None:
    for key, value in place.at("env").fields.items():
        if "secrets." in value.text:
            message = f"{where} sees the secret in `{key}`; give it to the step that needs it"
            board.find(source, value.line, "wide-secret", "medium", message)


def _check_job(source: Source, name: str, job: Tree, events: set[str], board: Board) -> None:
    _check_permissions(source, job, board)
    _check_environment(source, job, f"every step of `{name}`", board)
    if "uses" in job:
        _check_action(source, job.at("uses"), board)
        if job.at("secrets").text == "inherit":
            board.find(source, job.at("secrets").line, "all-secrets", "medium", f"`{name}` hands on all secrets")
        return
    if "timeout-minutes" not in job:
        board.find(source, job.line, "no-timeout", "low", f"`{name}` may hang for six hours; set `timeout-minutes`")
    runner = " ".join([job.at("runs-on").text, *(one.text for one in job.at("runs-on").items)])
    if "self-hosted" in runner and events & {"pull_request", "pull_request_target"}:
        message = f"`{name}` runs what strangers send on a machine of your own"
        board.find(source, job.at("runs-on").line, "self-hosted", "high", message)
    for step in job.at("steps").items:
        _check_step(source, step, board)
        ref = step.at("with", "ref").text
        is_theirs = "head" in ref or "merge" in ref
        if "pull_request_target" in events and step.at("uses").text.startswith("actions/checkout@") and is_theirs:
            message = "code of a stranger is fetched where secrets are; use `pull_request`"
            board.find(source, step.line, "runs-strangers", "critical", message)


def _check_step(source: Source, step: Tree, board: Board) -> None:
    board.count("steps")
    if "uses" in step:
        _check_action(source, step.at("uses"), board)
        script = step.at("with", "script")
    else:
        script = step.at("run")
    for match in _INJECTED.finditer(script.text[:50_000]):
        if match[1].rpartition(".")[2] in _UNTRUSTED:
            message = f"`{match[1]}` is a stranger's text, put into a command; hand it over in `env`"
            board.find(source, script.line, "injection", "critical", message)
            break
    text = script.text[:50_000]
    if re.search(r"\b(?:curl|wget)\b[^|\n]{0,300}\|\s{0,5}(?:sudo\s+)?(?:ba|z)?sh\b", text):
        board.find(source, script.line, "pipe-to-shell", "medium", "what a server sends is run unseen")
    if "::set-output" in text or "::save-state" in text or "::add-path" in text:
        board.find(source, script.line, "old-command", "medium", "this command is gone; write to `$GITHUB_OUTPUT`")
    if re.search(r"echo[^\n]{0,200}\$\{\{\s?secrets\.", text):
        board.find(source, script.line, "prints-secret", "high", "a secret is printed")
    for number, line in enumerate(text.splitlines()):
        if find_secrets(line):
            board.note(
                source.file, script.line + number, "secret-in-file", "critical", "a secret stands in the workflow"
            )
            break


def _check_action(source: Source, uses: Tree, board: Board) -> None:
    name, _, version = uses.text.partition("@")
    if name.startswith(("./", "docker://")):
        if name.startswith("docker://") and "@sha256:" not in uses.text:
            board.find(source, uses.line, "unpinned-action", "medium", f"`{name}` can be another image tomorrow")
        return
    if not version:
        board.find(source, uses.line, "unpinned-action", "high", f"`{name}` names no version")
    elif not _HASH.fullmatch(version):
        severity = "low" if name.startswith(_OWN) else "high" if version in ("main", "master") else "medium"
        message = f"`{uses.text}` can be other code tomorrow; name the commit's hash"
        board.find(source, uses.line, "unpinned-action", severity, message)
