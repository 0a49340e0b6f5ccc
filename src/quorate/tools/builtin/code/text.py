"""What is wrong with a file in any language, as far as its lines show?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from quorate.tools.builtin.code.finding import Finding, Severity, Source
from quorate.tools.builtin.code.secrets import MAX_LINE_CHARS, find_secrets, redact

SCRIPT = (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".vue")
SHELL = (".sh", ".bash", ".zsh", ".ksh")
JVM = (".java", ".kt", ".scala", ".groovy")
C = (".c", ".h", ".cc", ".cpp", ".hpp")
PLAIN = (".ini", ".cfg", ".conf", ".properties", ".yaml", ".yml", ".toml", ".env", ".tfvars")
OTHER = (".go", ".rb", ".php", ".rs", ".cs", ".swift", ".sql", ".json", ".xml", ".tf", ".html", "dockerfile")
SUFFIXES = frozenset((".py", ".pyi", *SCRIPT, *SHELL, *JVM, *C, *PLAIN, *OTHER))
MAX_SECRETS = 5
"""How many secrets of one line are told; the evidence hides all of them."""

_COMMENT = re.compile(r"\s*(?://|#(?!!)|\*|<!--|--\s)")
_TODO = re.compile(r"(?:#|//|/\*|\*|--|<!--)[^\n]{0,80}?\b(TODO|FIXME|XXX|HACK)\b")


class Rule(Struct, frozen=True, kw_only=True):
    """A pattern for a line, in files of some languages."""

    name: str
    severity: Severity
    suffixes: tuple[str, ...]
    pattern: re.Pattern[str]
    message: str


def _rule(name: str, severity: Severity, suffixes: tuple[str, ...], pattern: str, message: str) -> Rule:
    return Rule(name=name, severity=severity, suffixes=suffixes, pattern=re.compile(pattern), message=message)


_CALLED = r"(?<![\w.$])"
RULES: tuple[Rule, ...] = (
    _rule("eval", "high", (*SCRIPT, ".rb", ".php"), _CALLED + r"eval\s?\(", "`eval` runs whatever text it is given"),
    _rule("eval", "high", SCRIPT, r"\bnew Function\s?\(", "`new Function` runs whatever text it is given"),
    _rule("eval", "high", SHELL, r"^\s*eval\s", "`eval` runs whatever text it is given"),
    _rule("html-injection", "medium", SCRIPT, r"\.innerHTML\s?\+?=(?!=)|document\.write\(", "text becomes markup"),
    _rule(
        "shell-call",
        "high",
        SCRIPT,
        r"\bexec(?:Sync)?\(\s?(?:`[^`]*\$\{|[\"'][^\"']*[\"']\s?\+)",
        "a shell runs built text",
    ),
    _rule("shell-call", "high", (".go",), r"exec\.Command\(\s?\"(?:ba)?sh\",\s?\"-c\"", "a shell runs the text"),
    _rule("shell-call", "high", JVM, r"getRuntime\(\)\.exec\([^)]*\+", "a command is built from text"),
    _rule(
        "shell-call",
        "high",
        (".php", ".rb", *C),
        _CALLED + r"(?:system|popen|shell_exec|passthru)\s?\(",
        "a shell runs the text",
    ),
    _rule(
        "sql-injection",
        "high",
        (*SCRIPT, *JVM, ".go", ".php", ".rb", ".cs"),
        r"(?i)[\"'`]\s{0,9}(?:select\s.{1,300}\sfrom|insert\s+into|update\s.{1,200}\sset|delete\s+from)\s"
        r"[^\"`]{0,500}(?:\$\{|#\{|[\"']\s{0,9}[+.]\s{0,9}[\w$])",
        "an SQL statement is put together from text and values; pass the values as parameters",
    ),
    _rule("tls-unverified", "high", SCRIPT, r"rejectUnauthorized\s?:\s?false", "any certificate is accepted"),
    _rule("tls-unverified", "high", (".go",), r"InsecureSkipVerify\s?:\s?true", "any certificate is accepted"),
    _rule(
        "tls-unverified", "medium", SHELL, r"\bcurl\b[^|;&]{0,300}\s(?:-k|--insecure)\b", "any certificate is accepted"
    ),
    _rule("weak-hash", "medium", JVM, r"getInstance\(\s?\"(?:MD5|SHA-?1)\"", "this hash is broken; use SHA-256"),
    _rule("weak-hash", "medium", SCRIPT, r"createHash\(\s?[\"'](?:md5|sha1)[\"']", "this hash is broken; use SHA-256"),
    _rule("weak-hash", "medium", (".go",), r"\b(?:md5|sha1)\.(?:New|Sum)\(", "this hash is broken; use SHA-256"),
    _rule(
        "silent-except",
        "medium",
        (*SCRIPT, *JVM, ".cs"),
        r"\bcatch\s?(?:\([^)]{0,100}\))?\s?\{\s?\}",
        "errors are dropped without a trace",
    ),
    _rule(
        "unbounded-copy", "high", C, _CALLED + r"(?:gets|strcpy|strcat|sprintf)\s?\(", "nothing bounds what is written"
    ),
    _rule(
        "pipe-to-shell",
        "high",
        (*SHELL, "dockerfile"),
        r"\b(?:curl|wget)\b[^|;]{0,300}\|\s?(?:sudo )?(?:ba|z)?sh\b",
        "what a server sends is run unseen",
    ),
    _rule("open-permissions", "medium", (*SHELL, "dockerfile"), r"\bchmod\s+(?:-R\s+)?0?777\b", "everybody may write"),
    _rule(
        "privileged",
        "high",
        (".yaml", ".yml"),
        r"^\s*-?\s?privileged\s?:\s?true\b",
        "the container has all rights of the host",
    ),
    _rule(
        "debug-true", "medium", PLAIN, r"(?i)^\s*debug\s?[:=]\s?(?:true|1|on|yes)\s*$", "debugging is on for everybody"
    ),
)


def find_suffix(path: str) -> str:
    """Return what tells a file's language: its suffix, or `dockerfile`; empty when it is none we read."""
    name = os.path.basename(path).lower()
    if name.startswith("dockerfile") or name.endswith(".dockerfile"):
        return "dockerfile"
    if name.startswith(".env"):
        return ".env"
    suffix = os.path.splitext(name)[1]
    return suffix if suffix in SUFFIXES else ""


def review_lines(source: Source) -> Iterator[Finding]:
    """Review the lines of a file: secrets in all languages, and rules for those that have no parser here."""
    suffix = find_suffix(source.file)
    is_plain = suffix in PLAIN
    rules = [rule for rule in RULES if suffix in rule.suffixes]
    for number, full in enumerate(source.lines, 1):
        line = full[:MAX_LINE_CHARS]
        found: list[tuple[str, Severity, str]] = [
            (rule.name, rule.severity, rule.message) for rule in _match(rules, line)
        ]
        for secret in find_secrets(line, is_plain=is_plain)[:MAX_SECRETS]:
            message = f"{secret.kind} stands in the code; move it to a secret store and replace it"
            found.append(("hardcoded-secret", secret.severity, message))
        if not found:
            continue
        evidence = redact(line, is_plain=is_plain)
        for rule, severity, message in found:
            yield Finding(
                rule=rule, severity=severity, file=source.file, line=number, message=message, evidence=evidence
            )


def _match(rules: Sequence[Rule], line: str) -> list[Rule]:
    if not rules or _COMMENT.match(line):
        return []
    return [rule for rule in rules if rule.pattern.search(line)]


def find_todos(source: Source) -> list[int]:
    """Return the numbers of the lines that say something is still to be done."""
    return [number for number, line in enumerate(source.lines, 1) if _TODO.search(line[:MAX_LINE_CHARS])]
