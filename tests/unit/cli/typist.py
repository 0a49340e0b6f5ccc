"""How is a command typed in this process, at a database of the test's own?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from quorate.cli.failures import get_exit_code
from quorate.errors import QuorateError


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


Typed = Callable[..., Done]


def type_at(
    place: Path,
    name: str,
    add_commands: Callable[[typer.Typer], None],
    *,
    capture: pytest.CaptureFixture[bytes],
    patch: pytest.MonkeyPatch,
) -> Typed:
    """Build what types the words behind a command's name."""
    patch.chdir(place)
    patch.setenv("QUORATE_DATABASE", str(place / "quorate.db"))
    app = typer.Typer(pretty_exceptions_enable=False)
    add_commands(app)
    app.callback()(lambda: None)
    command = get_command(app)

    def type_words(*words: str) -> Done:
        said = ""
        try:
            code = command.main(args=[name, *words], standalone_mode=False) or 0
        except QuorateError as error:
            code, said = get_exit_code(error), error.message
        return Done(code, capture.readouterr()[0].decode() + said)

    return type_words
