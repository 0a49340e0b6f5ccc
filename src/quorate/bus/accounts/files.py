"""How is a secret written to a disk so that it is whole, nobody else's, and never written over?"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from quorate.errors import InvalidInput

MOST_BYTES = 4 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting: a pipe of that name must not hold whoever reads it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, where it is not there.

    Raises:
        InvalidInput: It cannot be made.
    """
    try:
        for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{str(folder)!r} cannot be made: {error.strerror}; name another folder.") from error


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Hold a folder for a block, so that two commands do not change what is in it at once; the second one waits.

    Raises:
        InvalidInput: It cannot be entered.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"{str(folder)!r} cannot be entered: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go of with the descriptor, also when the process dies
        yield
    finally:
        os.close(descriptor)


def write_new(file: Path, content: bytes) -> bool:
    """Write a file that is not there, whole or not at all; say whether it was written.

    Raises:
        InvalidInput: It cannot be written.
    """
    written = _write_beside(file, content)
    try:
        os.link(written, file, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    finally:
        written.unlink(missing_ok=True)
    _settle(file.parent)
    return True


def write_over(file: Path, content: bytes) -> None:
    """Write a file in place of the one that is there, whole or not at all.

    Raises:
        InvalidInput: It cannot be written.
    """
    written = _write_beside(file, content)
    try:
        os.replace(written, file)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise InvalidInput(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    _settle(file.parent)


def read_file(file: Path) -> bytes | None:
    """Read a file that is one and no link; `None` when it is not there.

    Raises:
        InvalidInput: It cannot be read, or is something else.
    """
    try:
        with open(os.open(file, _READ), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InvalidInput(f"{str(file)!r} is no file.")
            content = stream.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"{str(file)!r} has more than {MOST_BYTES} bytes.")
    return content


def is_private(file: Path) -> bool:
    """Whether nobody but its owner may read or change a file or folder that is there."""
    try:
        return not file.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    except OSError:
        return True


def _write_beside(file: Path, content: bytes) -> Path:
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(beside, _CREATE, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise InvalidInput(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    return beside


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
