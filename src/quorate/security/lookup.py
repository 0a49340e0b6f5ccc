"""Which addresses has a name, by the machine's own resolver?"""

from __future__ import annotations

import socket


def look_up(host: str, port: int) -> list[str]:
    """Look a name up; it blocks for as long as the name's servers like, so call it in a thread that may be stuck.

    Raises:
        OSError: It has no address, or nobody could say.
        UnicodeError: It cannot be a name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))
