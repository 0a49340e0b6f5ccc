"""How is a secret held so that no text form shows it?"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, NoReturn

from quorate.errors import Unavailable

HIDDEN: Final = "********"


class Secret:
    """A value that only `reveal` shows; `str`, `repr`, `format`, JSON and pickles never do.

    Read it at the moment of use, and do not keep what `reveal` returns.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare in a time that does not tell how much was right."""
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not written down: reveal it where it is used")


class KeptSecret(Secret):
    """A secret that is kept elsewhere and may change there: `reveal` gives what was read last.

    Whoever reads it at the moment of use, and keeps nothing, needs no restart when it is replaced.

    Args:
        place: Where it is kept, such as `file:/run/secrets/key`.
        check: Returns a new value as it is used, or raises `QuorateError` where it makes no sense: the last good one
            then stays.
    """

    __slots__ = ("_check", "_former", "_is_known", "place")

    def __init__(self, place: str, *, check: Callable[[str], str] | None = None) -> None:
        super().__init__("")
        self.place = place
        self._check = check
        self._former = ""
        self._is_known = False

    @property
    def is_known(self) -> bool:
        """Whether it was ever read."""
        return self._is_known

    def reveal(self) -> str:
        """Return the value as it was read last.

        Raises:
            Unavailable: It was not read yet.
        """
        if not self._is_known:
            raise Unavailable(f"The secret at {self.place!r} has not been read yet: it is when a runtime opens.")
        return self._value

    def renew(self, value: str) -> bool:
        """Take what was read, and say whether it is another one than before.

        Raises:
            QuorateError: It makes no sense; what there was stays.
        """
        checked = value if self._check is None else self._check(value)
        if self._is_known and hmac.compare_digest(checked.encode(), self._value.encode()):
            return False
        self._former, self._value, self._is_known = self._value, checked, True
        return True

    def list_values(self) -> tuple[str, ...]:
        """List what it is and what it was before, so that neither is shown to anybody."""
        return tuple(value for value in (self._value, self._former) if value)

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return hash((KeptSecret, self.place))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeptSecret) and self.place == other.place and super().__eq__(other)


def encode_secret(value: object) -> object:
    """Encode a secret as stars; give it to an encoder as its `enc_hook`.

    Raises:
        TypeError: It is not a secret, and nothing is known about it here.
    """
    if isinstance(value, Secret):
        return HIDDEN
    raise TypeError(f"cannot encode {type(value).__name__}")


def decode_secret(type_: type, value: object) -> object:
    """Decode text into a secret; give it to a decoder as its `dec_hook`.

    Raises:
        TypeError: Something else is asked for.
    """
    if type_ is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"cannot decode into {type_.__name__}")
