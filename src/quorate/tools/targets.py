"""Which hosts, ports and URLs may a network tool be given, and which of them may it probe?

Two questions, asked one after the other. The *grammar* decides whether a text is a target at all: every form that
another program could read differently (a flag, a second line, an octal number) is refused, with what to give instead.
The *policy* decides, for each address a target resolves to, whether this principal may reach it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from urllib.parse import urljoin

from msgspec import Struct

from quorate.addresses import Address, Kind, classify
from quorate.errors import InvalidInput, ToolError

MAX_HOST_CHARS = 253
MAX_LABEL_CHARS = 63
MAX_URL_CHARS = 2048
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")
_URL = re.compile(r"(https?)://(\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(?::([0-9]{1,5}))?([/?][^#]*)?(?:#.*)?", re.IGNORECASE)
_URL_CHARS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_WORDS = ("loopback", "private", "public")
_NEVER: tuple[Kind, ...] = ("link-local", "metadata")
_NO_HOSTS = tuple(
    ipaddress.ip_network(text) for text in ("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")
)
# IPv4-compatible addresses and local-use NAT64 (RFC 8215).
_CARRIERS = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_KINDS: dict[Kind, str] = {
    "loopback": "a loopback address",
    "private": "a private address",
    "public": "a public address",
    "reserved": "in a range that is kept for other uses",
    "link-local": "link-local, where clouds keep their metadata",
    "metadata": "a cloud's metadata service",
}


class InvalidTarget(ToolError):
    """A text is no host, port or URL."""

    code = "invalid_input"


class TargetBlocked(ToolError):
    """The target is well formed, and this principal may not probe it."""

    code = "blocked_by_policy"


class Host(Struct, frozen=True, kw_only=True):
    """A host in its one spelling: lower case, without a final dot, addresses as the system prints them."""

    text: str
    address: IPv4Address | IPv6Address | None = None
    """Set when the host was given as an address."""


class WebTarget(Struct, frozen=True, kw_only=True):
    """A URL that may be asked for, in its parts."""

    scheme: Literal["http", "https"]
    host: Host
    port: int
    path: str
    """Path and query, as they go into the request line."""

    @property
    def authority(self) -> str:
        """Host and port as they go into the `Host` header."""
        host = f"[{self.host.text}]" if isinstance(self.host.address, IPv6Address) else self.host.text
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL again."""
        return f"{self.scheme}://{self.authority}{self.path}"


class ProbePolicy(Struct, frozen=True, kw_only=True):
    """Which kinds of targets may be probed, and which beside them.

    Link-local and cloud metadata addresses are refused whatever it says, and so is what is
    no address of one host. Ranges reserved for tests and documentation go with the private ones.
    """

    loopback: bool
    private: bool
    public: bool
    allow: tuple[str, ...] = ()
    """Host names, `*.` patterns, addresses, networks, or the words `loopback`, `private`, `public`."""

    def __post_init__(self) -> None:
        for item in self.allow:
            _check_allowed(item)

    @classmethod
    def operator(cls, allow: Iterable[str] = ()) -> ProbePolicy:
        """Build the policy of a person at this machine's command line: loopback, private and public targets."""
        return cls(loopback=True, private=True, public=True, allow=tuple(allow))

    @classmethod
    def served(cls, allow: Iterable[str] = ()) -> ProbePolicy:
        """Build the policy for requests of others: public targets, and what `allow` lists."""
        return cls(loopback=False, private=False, public=True, allow=tuple(allow))

    def check(self, host: Host, addresses: Iterable[Address]) -> None:
        """Refuse the host unless every address it resolves to may be probed.

        An IPv6 address that carries an IPv4 address is of the less trusted kind of the two.

        Raises:
            TargetBlocked: One of them may not; the message says which and why.
        """
        for address in addresses:
            if any(address in network for network in _NO_HOSTS):
                raise TargetBlocked(f"{host.text!r} stands for {address}, which is no address of one host.")
            named = any(_names(item, host, address) for item in self.allow)
            for kind in _find_kinds(address):
                if kind in _NEVER or not (named or self._accepts(kind)):
                    raise TargetBlocked(_explain(host, address, kind))

    def _accepts(self, kind: Kind) -> bool:
        # Ranges kept for documentation and tests are in use in laboratories, as private ones are.
        accepted = {"loopback": self.loopback, "private": self.private, "reserved": self.private, "public": self.public}
        return accepted.get(kind, False) or kind in self.allow


def parse_host(text: str) -> Host:
    """Read a host name or an address in its one strict spelling.

    Raises:
        InvalidTarget: It is something else; the message says what, and what to give.
    """
    _check_characters(text, "host")
    if len(text) > MAX_HOST_CHARS + 2:
        raise InvalidTarget(f"The host has {len(text)} characters; a name has at most {MAX_HOST_CHARS}.")
    if "://" in text or "/" in text:
        raise InvalidTarget(f"{text!r} is not a host alone; give `example.com`, without scheme or path.")
    if "@" in text:
        raise InvalidTarget(f"{text!r} holds a user name; give the host alone.")
    if "%" in text:
        raise InvalidTarget(f"{text!r} holds a zone or an escape; give the address without `%`.")
    if ":" in text or text.startswith("["):
        return _parse_ipv6(text)
    name = text.lower().removesuffix(".")
    if _ENDS_IN_NUMBER.fullmatch(name):
        return _parse_ipv4(text)
    return Host(text=_check_name(text, name))


def parse_port(port: int) -> int:
    """Check a port number.

    Raises:
        InvalidTarget: It is not between 1 and 65535.
    """
    if not 1 <= port <= 65_535:
        raise InvalidTarget(f"{port!r} is no port; give a number from 1 to 65535.")
    return port


def parse_url(text: str) -> WebTarget:
    """Read an `http` or `https` URL.

    Raises:
        InvalidTarget: It is something else, holds a user name, or has characters that must be escaped.
    """
    _check_characters(text, "URL")
    if len(text) > MAX_URL_CHARS:
        raise InvalidTarget(f"The URL has {len(text)} characters; at most {MAX_URL_CHARS} are allowed.")
    if not _URL_CHARS.fullmatch(text):
        raise InvalidTarget(f"{text!r} holds a character that a URL may not; write it as `%` and two hex digits.")
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise InvalidTarget("The URL holds a user name or password; give it without `user@`.")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise InvalidTarget(f"{text!r} is no URL; give one such as `https://example.com/path`.")
    scheme: Literal["http", "https"] = "https" if parts[1].lower() == "https" else "http"
    path = parts[4] or "/"
    return WebTarget(
        scheme=scheme,
        host=parse_host(parts[2]),
        port=parse_port(int(parts[3])) if parts[3] else {"http": 80, "https": 443}[scheme],
        path=path if path.startswith("/") else f"/{path}",
    )


def parse_redirect(base: WebTarget, location: str) -> WebTarget:
    """Read where a server sends its visitor, seen from the URL it was asked for.

    Raises:
        InvalidTarget: It is no `http` or `https` URL.
    """
    try:
        return parse_url(urljoin(base.url, location[:MAX_URL_CHARS]))
    except ValueError as error:
        raise InvalidTarget(f"{location[:200]!r} is no URL: {error}.") from error


def _check_characters(text: str, what: str) -> None:
    if not text:
        raise InvalidTarget(f"The {what} is empty.")
    shown = repr(text[:80])
    if any(ord(char) < 33 or ord(char) == 127 for char in text):
        raise InvalidTarget(f"The {what} {shown} holds white space or a control character; give the {what} alone.")
    if not text.isascii():
        raise InvalidTarget(
            f"The {what} {text[:80]!a} is not ASCII, and letters of other scripts can look alike; "
            "write an international name in its `xn--` form."
        )
    if text.startswith("-"):
        raise InvalidTarget(f"The {what} {shown} begins like an option of a program; a {what} does not begin with `-`.")


def _check_name(text: str, name: str) -> str:
    if not name or len(name) > MAX_HOST_CHARS:
        raise InvalidTarget(f"A host name has 1 to {MAX_HOST_CHARS} characters; {text[:80]!r} has {len(name)}.")
    for label in name.split("."):
        if len(label) > MAX_LABEL_CHARS:
            raise InvalidTarget(f"A part of a host name has at most {MAX_LABEL_CHARS} characters, not {len(label)}.")
        if not _LABEL.fullmatch(label):
            raise InvalidTarget(
                f"{text[:80]!r} is no host name: {label!r} may hold letters, digits, `_`, and `-` between them."
            )
        if label.startswith("xn--") and not _is_international(label):
            raise InvalidTarget(f"{label!r} is no `xn--` name: it does not stand for letters beyond ASCII.")
    return name


def _is_international(label: str) -> bool:
    try:
        return not label.removeprefix("xn--").encode().decode("punycode").isascii()
    except UnicodeError:
        return False


def _parse_ipv4(text: str) -> Host:
    try:
        address = IPv4Address(text)
    except ValueError as error:
        raise InvalidTarget(
            f"{text[:80]!r} is a number and no address in its plain form; give four decimal numbers "
            "without leading zeros, such as `192.0.2.1`."
        ) from error
    return Host(text=str(address), address=address)


def _parse_ipv6(text: str) -> Host:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = unmap(IPv6Address(inner))
    except ValueError as error:
        raise InvalidTarget(
            f"{text[:80]!r} is neither a host nor an IPv6 address; give a port apart from the host."
        ) from error
    return Host(text=str(address), address=address)


def _check_allowed(item: str) -> None:
    if item in _WORDS:
        return
    try:
        network = ipaddress.ip_network(item, strict=False)
    except ValueError:
        try:
            parse_host(item.removeprefix("*."))
        except InvalidTarget as error:
            raise InvalidInput(f"{item!r} cannot be allowed: {error.message}") from error
        return
    ends: set[Kind] = {classify(str(network.network_address)), classify(str(network.broadcast_address))}
    if ends <= set(_NEVER):
        raise InvalidInput(
            f"{item!r} cannot be allowed: it is {_KINDS[ends.pop()]}, which is never probed; take it out."
        )


def _names(item: str, host: Host, address: Address) -> bool:
    """Whether an item of an allow-list names this host or this address."""
    if item.startswith("*."):
        return host.text.endswith(item[1:].lower())
    try:
        network = ipaddress.ip_network(item, strict=False)
    except ValueError:
        return item.lower().removesuffix(".") == host.text
    return address in network


def _explain(host: Host, address: Address, kind: Kind) -> str:
    named = f"{host.text!r} is" if host.address else f"{host.text!r} resolves to {address}, which is"
    if kind in _NEVER:
        return f"{named} {_KINDS[kind]}; that is never probed."
    return f"{named} {_KINDS[kind]}, which this principal may not probe; an operator can list it in `probe.allow`."


def _find_kinds(address: Address) -> tuple[Kind, ...]:
    """The kind of an address, and of the IPv4 address in one of a range that is reserved all the same."""
    if address != IPv6Address("::1") and any(address in network for network in _CARRIERS):
        return classify(str(address)), classify(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return (classify(str(address)),)


def unmap(address: Address) -> Address:
    """Turn an IPv4-mapped IPv6 address into the IPv4 address that the kernel would use for it."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
