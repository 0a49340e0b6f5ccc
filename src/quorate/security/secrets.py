"""How is a secret held so that no text form shows it?"""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

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
