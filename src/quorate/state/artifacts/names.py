"""Under which keys are artifacts kept, and what may they be called?

```
artifact/<tenant>/id/<handle>                             an artifact, with its shares: the one truth about it
artifact/<tenant>/own/<home>/<name>/<version, backwards>  what a home has: the last version stands first
artifact/<tenant>/of-run/<run>/<handle>                   what a run of a session saved
artifact/<tenant>/shared/<with>/<handle>                  what somebody was given
artifact/<tenant>/blob/<digest>                           where the bytes are
```
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping

from quorate.errors import InvalidInput
from quorate.ids import check_id

MAX_NAME_BYTES = 255
MAX_LABELS = 32
LAST_VERSION = 9_999_999_999
_HANDLE = re.compile(r"art-[0-9a-f]{28}", re.ASCII)
_MEDIA_TYPE = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}(; ?[a-z]+=[\w.-]+)*", re.ASCII
)
_SLASH = "\x1f"
"""Stands for the `/` of a name in a key: no name has it."""


def check_name(name: str) -> str:
    """Return the name of an artifact, or raise `InvalidInput` when it cannot be one; a name never is a path."""
    size = len(name.encode("utf-8", "replace"))
    if not 1 <= size <= MAX_NAME_BYTES or not name.isprintable() or "\\" in name:
        raise InvalidInput(
            f"artifact name {name[:80]!r} is not one: use 1 to {MAX_NAME_BYTES} bytes of printable text without "
            "backslashes."
        )
    if any(not part.strip() or part in {".", ".."} for part in name.split("/")):
        raise InvalidInput(f"artifact name {name[:80]!r} has a part that is empty, `.` or `..`: leave it out.")
    if is_handle(name):
        raise InvalidInput(f"artifact name {name!r} looks like a handle: choose another one.")
    return name


def check_media_type(media_type: str) -> str:
    """Return a media type such as `text/plain`, or raise `InvalidInput` when it is not one."""
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        raise InvalidInput(f"media type {media_type[:80]!r} is not one: write it like `text/plain`.")
    return media_type


def check_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Return labels as they are kept, or raise `InvalidInput` when they are too many or too long."""
    kept = dict(labels or {})
    for label, value in kept.items():
        if not 1 <= len(label) <= 64 or len(value) > 256 or not (label + value).isprintable():
            raise InvalidInput(
                f"label {label[:80]!r} is not one: use 1 to 64 printable characters, and at most 256 for its value."
            )
    if len(kept) > MAX_LABELS:
        raise InvalidInput(f"an artifact has at most {MAX_LABELS} labels, not {len(kept)}.")
    return kept


def is_handle(text: str) -> bool:
    """Whether this is written like the handle of an artifact."""
    return _HANDLE.fullmatch(text) is not None


def new_handle(ref: str) -> str:
    """Make a handle for bytes that are known as `ref`, so that one scan tells whether anything names them."""
    return f"art-{ref}{secrets.token_hex(6)}"


def new_ref() -> str:
    """Make a name for bytes, which says nothing about them."""
    return secrets.token_hex(8)


def digest_who(who: str) -> str:
    """Return what stands for a principal in a key: their own name may be anything."""
    return hashlib.sha256(who.encode("utf-8", "replace")).hexdigest()[:32]


class Keys:
    """The keys of one tenant."""

    __slots__ = ("_root", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant = check_id(tenant, "tenant")
        self._root = f"artifact/{tenant}/"

    def of_handle(self, handle: str) -> str:
        """Where an artifact is; with the beginning of a handle, what those keys begin with."""
        return f"{self._root}id/{handle}"

    def of_ref(self, ref: str) -> str:
        """What the keys of all artifacts with the same bytes begin with."""
        return f"{self._root}id/art-{ref}"

    def of_blob(self, digest: str) -> str:
        """Where it says where the bytes are; with an empty digest, what those keys begin with."""
        return f"{self._root}blob/{digest}"

    def of_home(self, home: str = "") -> str:
        """What the keys of all that a home has begin with; without one, of all homes."""
        return f"{self._root}own/{home}/" if home else f"{self._root}own/"

    def of_name(self, home: str, name: str) -> str:
        """What the keys of all versions of a name begin with."""
        return f"{self.of_home(home)}{fold(name)}/"

    def of_version(self, home: str, name: str, version: int) -> str:
        """Where a version of a name is."""
        return f"{self.of_name(home, name)}{LAST_VERSION - version:010}"

    def of_run(self, run: str, handle: str = "") -> str:
        """Where it says that a run of a session saved an artifact."""
        return f"{self._root}of-run/{run}/{handle}"

    def of_share(self, kind: str, who: str, handle: str = "") -> str:
        """Where it says that an artifact is shared with somebody."""
        return f"{self._root}shared/{kind}/{digest_who(who)}/{handle}"


def read_version(key: str) -> int:
    """Read the version from a key that `Keys.of_version` built."""
    return LAST_VERSION - int(key.rpartition("/")[2])


def fold(name: str) -> str:
    """Write a name, or the beginning of one, as a part of a key."""
    return name.replace("/", _SLASH)
