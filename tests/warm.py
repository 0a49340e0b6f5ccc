"""What is imported once for all the programs that tests fork? What most of them use, as far as it is installed."""

from contextlib import suppress

import quorate.assembly
import quorate.models.scripted
import quorate.runtime
import quorate.state.backends.sqlite
import quorate.telemetry.logs

__all__ = ["quorate"]


def count(number: int = 1) -> None:
    """A command that does nothing: reading its words imports what reading any command's words does."""


with suppress(ImportError):
    import asyncpg  # noqa: F401

    import quorate.state.backends.postgres
with suppress(ImportError):
    import nats.aio.client  # noqa: F401

    import quorate.bus.backends.nats
with suppress(ImportError):
    import rich.live
    import rich.tree  # noqa: F401
    import typer
    from typer.main import get_command

    import quorate.cli.live
    import quorate.cli.opening
    import quorate.cli.options
    import quorate.cli.progress
    import quorate.cli.start
    import quorate.cli.watch
    from quorate.cli.app import build_app

    nothing = typer.Typer()
    nothing.command()(count)
    get_command(nothing).main([], standalone_mode=False)
    get_command(build_app())
