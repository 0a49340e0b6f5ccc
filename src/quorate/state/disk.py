"""What does an error of a disk mean to whoever stores something?"""

from __future__ import annotations

import errno

from quorate.errors import StorageFull, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain_disk(error: OSError, where: str) -> StorageFull | Unavailable:
    """Build the error that says what happened, where, and what to do next."""
    if error.errno in _FULL:
        return StorageFull(f"there is no room in {where}: {error.strerror}. Make room, then try again.")
    return Unavailable(f"{where} cannot be used: {error.strerror or error}. Look at the disk, then try again.")
