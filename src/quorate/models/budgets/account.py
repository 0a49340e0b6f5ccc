"""What was spent of a budget, what is set aside, and can one more call be paid for?

Money is counted in whole billionths of a dollar: sums are exact, whoever adds them up.
"""

from __future__ import annotations

from msgspec import Struct, field

from quorate.models.budgets.rules import Cap


class Hold(Struct, array_like=True):
    """What the calls under way of one process may cost."""

    usd: int
    tokens: int
    expires: float
    """The store's time from which on the process counts as dead, and its calls as not made."""


class Account(Struct, omit_defaults=True):
    """What became of a budget so far."""

    usd: int = 0
    """Spent."""
    tokens: int = 0
    """Spent."""
    held: dict[str, Hold] = field(default_factory=dict[str, Hold])
    """Set aside, by process."""


class Ask(Struct, frozen=True):
    """What a call may cost."""

    read: int
    """Tokens of input."""
    read_usd: int
    write: int
    """The most tokens of output it may have."""
    least: int
    """With fewer tokens of output it is not worth making."""
    rate: float
    """What a token of output costs."""

    def price(self, write: int) -> int:
        """Work out what it costs with so much output, rounded up."""
        return self.read_usd + -int(-write * self.rate // 1)


class Standing(Struct, frozen=True):
    """How an account stood when it could not pay."""

    usd: int
    tokens: int
    held_usd: int
    held_tokens: int
    is_busy: bool
    """Whether it could pay if the calls under way cost nothing: then it is worth waiting for them."""


def take(account: Account, cap: Cap, ask: Ask, *, holder: str, now: float, hold_s: float) -> int | Standing:
    """Set aside what a call may cost, and return how many tokens of output that pays for; as many as there is for."""
    held_usd = held_tokens = 0
    if account.held:
        drop_dead(account, now)
        for hold in account.held.values():
            held_usd += hold.usd
            held_tokens += hold.tokens
    write = _afford(cap, ask, account.usd + held_usd, account.tokens + held_tokens)
    if write < ask.least:
        is_busy = _afford(cap, ask, account.usd, account.tokens) >= ask.least
        return Standing(account.usd, account.tokens, held_usd, held_tokens, is_busy)
    own = account.held.get(holder)
    if own is None:
        own = account.held[holder] = Hold(0, 0, 0.0)
    own.usd += ask.price(write)
    own.tokens += ask.read + write
    own.expires = now + hold_s
    return write


def settle(account: Account, *, holder: str, held: tuple[int, int], spent: tuple[int, int]) -> None:
    """Replace what was set aside by what was spent, both in billionths of a dollar and in tokens."""
    account.usd += spent[0]
    account.tokens += spent[1]
    own = account.held.get(holder)
    if own is not None:
        own.usd = max(0, own.usd - held[0])
        own.tokens = max(0, own.tokens - held[1])
        if not own.usd and not own.tokens:
            del account.held[holder]


def drop_dead(account: Account, now: float) -> None:
    """Forget what processes set aside that did not say anything for too long."""
    dead = [holder for holder, hold in account.held.items() if hold.expires <= now]
    for holder in dead:
        del account.held[holder]


def _afford(cap: Cap, ask: Ask, usd: int, tokens: int) -> int:
    """How many tokens of output a budget pays for beside what is gone of it; below 0 when not even the input."""
    write = ask.write
    if cap.tokens is not None:
        write = min(write, cap.tokens - tokens - ask.read)
    if cap.usd is None:
        return write
    left = cap.usd - usd - ask.read_usd
    if left < 0:
        return -1
    if ask.rate:
        write = min(write, int(left / ask.rate))
        if write > 0 and ask.price(write) > cap.usd - usd:  # what a fraction of a billionth was lost in
            write -= 1
    return write
