"""How are an evaluation's records kept in a file, one line each, so that it can go on where it ended?"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import msgspec
from msgspec import Struct

from quorate.catalog.evaluation.report import Configuration, Record, Report, build_report
from quorate.codec.json import encode
from quorate.errors import Conflict, InvalidInput, StorageFull

MOST_BYTES = 256 << 20
_HEADING = b'{"quorate":'


class Heading(Struct, frozen=True, kw_only=True, tag_field="quorate", tag="evaluation", omit_defaults=True):
    """The first line of the file."""

    id: str
    planned: int
    configuration: Configuration


class Book:
    """A file of records that is being written."""

    def __init__(self, file: BinaryIO, heading: Heading, records: Sequence[Record]) -> None:
        self._file = file
        self.heading = heading
        self.records = tuple(records)
        """What was there before."""

    def add(self, record: Record) -> None:
        """Write a record; it is there once this returns, whatever becomes of the process.

        Raises:
            StorageFull: It cannot be written.
        """
        try:
            self._file.write(encode(record) + b"\n")
            self._file.flush()
        except OSError as error:
            raise StorageFull(f"The records cannot be written to {self._file.name!r}: {error.strerror}.") from error


@contextmanager
def open_book(path: str | os.PathLike[str], heading: Heading, *, resume: bool) -> Generator[Book]:
    """Open a file of records to be written by this process alone.

    Args:
        path: Where it is.
        heading: What is evaluated.
        resume: Whether to go on with what is there; there may be nothing otherwise.

    Raises:
        InvalidInput: There is a file already, it is none of ours, or it is of another configuration.
        Conflict: Another process writes it.
    """
    where = os.fspath(path)
    try:
        descriptor = os.open(where, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if resume else os.O_EXCL), 0o666)
    except FileExistsError as error:
        raise InvalidInput(f"{where!r} is there already: go on with it by `--resume`, or name another file.") from error
    except OSError as error:
        raise InvalidInput(f"{where!r} cannot be written: {error.strerror}.") from error
    with open(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"Another process writes {where!r}: wait for it, or name another file.") from error
        found, records, end = _read(file, where)
        if found is not None and found.configuration != heading.configuration:
            raise InvalidInput(
                f"{where!r} is of another configuration ({_tell(found.configuration)}): go on with the same, or name "
                "another file."
            )
        kept = heading if found is None else Heading(
            id=found.id, planned=heading.planned, configuration=found.configuration
        )  # fmt: skip
        file.truncate(end)  # a line that was cut off when its process ended
        file.seek(end)
        if found != kept:  # nothing was there, or there are more cases now
            file.write(encode(kept) + b"\n")
            file.flush()
        yield Book(file, kept, records)


def read_book(path: str | os.PathLike[str]) -> Report:
    """Read a file of records as a report.

    Raises:
        InvalidInput: It cannot be read, or is none of ours.
    """
    where = os.fspath(path)
    try:
        with open(where, "rb") as file:
            heading, records, _ = _read(file, where)
    except OSError as error:
        raise InvalidInput(f"{where!r} cannot be read: {error.strerror}.") from error
    if heading is None:
        raise InvalidInput(f"{where!r} is empty: give a file that `quorate eval --save` wrote.")
    return build_report(heading.id, records, planned=heading.planned, configuration=heading.configuration)


def _read(file: BinaryIO, where: str) -> tuple[Heading | None, list[Record], int]:
    """Read what is whole, and say where that ends."""
    if os.fstat(file.fileno()).st_size > MOST_BYTES:
        raise InvalidInput(f"{where!r} has more than {MOST_BYTES} bytes: it cannot be a file of records.")
    heading: Heading | None = None
    records: dict[tuple[str, int], Record] = {}
    end = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            break
        try:
            if heading is None or line.startswith(_HEADING):
                heading = msgspec.json.decode(line, type=Heading)
            else:
                record = msgspec.json.decode(line, type=Record)
                records[record.case, record.repeat] = record
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InvalidInput(f"{where}:{number}: this is no record of an evaluation: {error}.") from error
        end += len(line)
    return heading, list(records.values()), end


def _tell(configuration: Configuration) -> str:
    facts = {"model": configuration.model or "the agents' own", "judge": configuration.judge or "none"}
    facts |= {"repeats": str(configuration.repeats), "seed": str(configuration.seed)}
    return ", ".join(f"{key} {value}" for key, value in facts.items())
