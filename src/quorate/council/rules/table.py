"""Which rules are there, what are they called, and how must a ballot be written for one?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import msgspec

from quorate.codec.json import decode, encode_text
from quorate.council.ballot import Ballot
from quorate.council.rules.approval import Approval
from quorate.council.rules.borda import Borda
from quorate.council.rules.choices import HALF
from quorate.council.rules.count import Rule
from quorate.council.rules.instant_runoff import InstantRunoff
from quorate.council.rules.majority import Majority
from quorate.council.rules.names import ALIASES
from quorate.council.rules.plurality import Plurality
from quorate.council.rules.ranked_pairs import RankedPairs
from quorate.council.rules.schulze import Schulze
from quorate.council.rules.score import Score
from quorate.council.rules.supermajority import Supermajority
from quorate.council.rules.unanimous import Unanimous
from quorate.council.rules.veto import Veto
from quorate.council.rules.weighted import Weighted
from quorate.errors import InvalidInput, UnknownName, mend_text

MAX_BALLOT_BYTES = 1 << 18
_SHARE = re.compile(r"\d{1,9}(?:\.\d{1,12})?|\.\d{1,12}", re.ASCII)
_RANGE = re.compile(r"(?:(-?\d{1,6}(?:\.\d{1,6})?)\.\.)?(-?\d{1,6}(?:\.\d{1,6})?)", re.ASCII)


def read_rule(name: str) -> Rule:
    """Read a rule's name, such as `majority`, `Simple-Majority`, `supermajority:0.75`, `score:1..5`.

    Shares are taken as they are written: `2/3` is two thirds, `0.6` of 10 is 6.

    Raises:
        UnknownName: There is no such rule; suggests the nearest.
        InvalidInput: It has a bound that it cannot have.
    """
    known, bound = _resolve(name)
    return _BUILD[known](bound)


def name_rule(name: str) -> str:
    """Write the name that a rule is listed under, with its bound: `Two-Thirds` is `supermajority:2/3`.

    Raises:
        UnknownName: There is no such rule; suggests the nearest.
    """
    known, bound = _resolve(name)
    return f"{known}:{bound}" if bound else known


def list_rules() -> tuple[str, ...]:
    """List the names of all rules; each is known by others too, see `rules/names.py`."""
    return tuple(_BUILD)


def describe_form(rule: Rule | str, options: Sequence[str]) -> str:
    """Describe to a person or a model how to write a ballot as JSON: the options, and the form.

    Args:
        rule: What it is counted by, or its name.
        options: What there is to choose from.
    """
    known = read_rule(rule) if isinstance(rule, str) else rule
    low, high = (known.low, known.high) if isinstance(known, Score) else (0.0, 10.0)
    said = [_SAID[field].format(low=f"{low:g}", high=f"{high:g}") for field in known.form]
    # No option stands in the form: models tend to answer what an example shows them.
    written = ", ".join(_WRITTEN[field].format(low=f"{low:g}", high=f"{high:g}") for field in known.form)
    listed = "\n".join(f"- {encode_text(option)}" for option in options)
    return (
        f"Options, as they must be written:\n{listed}\n\n"
        f"Answer with one JSON object and nothing else. Give {', and '.join(said)}; `reason`: why, in short; "
        "`confidence`: how sure you are to be right, 0 to 1; `evidence`: a list of what you go by, if there is any.\n"
        f'Form: {{{written}, "reason": "<why>", "confidence": <0 to 1>}}\n'
        f"If you cannot tell: {encode_text({'abstains': True, 'reason': '<why>'})}"
    )


def read_ballot(given: str | Mapping[str, object], rule: Rule | str, options: Sequence[str]) -> Ballot:
    """Read a ballot that a person or a model wrote, with or without the fence that models put around JSON.

    Args:
        given: JSON, or what was read from it.
        rule: What it is counted by, or its name.
        options: What there is to choose from.

    Raises:
        TooLarge: It has more than `MAX_BALLOT_BYTES`.
        InvalidInput: It is no ballot, or cannot be counted by this rule; the message can be shown to who wrote it.
    """
    known = read_rule(rule) if isinstance(rule, str) else rule
    if isinstance(given, str):
        bare = mend_text(given).strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        ballot = decode(bare, Ballot, what="The ballot", max_bytes=MAX_BALLOT_BYTES)
    else:
        try:
            ballot = msgspec.convert(given, Ballot)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"The ballot is not valid: {error}") from error
    known.check(ballot, options)
    return ballot


def _resolve(name: str) -> tuple[str, str]:
    plain, _, bound = name.partition(":")
    plain = re.sub(r"[\s_-]+", "_", plain.strip().lower())
    if plain not in ALIASES and plain not in _BUILD:
        # `SuperMajority`, `ranked pairs` and `instant-run-off` differ in how they part words alone.
        joined = plain.replace("_", "")
        plain = next((one for one in (*_BUILD, *ALIASES) if one.replace("_", "") == joined), "")
    known, _, own = ALIASES.get(plain, plain).partition(":")
    if not known:
        raise UnknownName("rule", name[:100], [*_BUILD, *ALIASES])
    bound = bound.strip()
    if own and bound:
        raise InvalidInput(f"The rule {name!r:.100} has a share in its name: give `{known}:{bound}`.")
    return known, own or bound


def _read_share(bound: str, rule: str) -> Fraction:
    text, percent = (bound[:-1].strip(), 100) if bound.endswith("%") else (bound, 1)
    above, _, below = text.partition("/")
    if _SHARE.fullmatch(above) and (not below or (below.isdecimal() and below.isascii() and len(below) < 10)):
        parts = int(below or "1") * percent
        if parts:
            return Fraction(above) / parts
    raise InvalidInput(f"The rule `{rule}` has the bound {bound!r:.100}: give a share, as in `{rule}:0.75`.")


def _read_none(bound: str, rule: str) -> None:
    if bound:
        raise InvalidInput(f"The rule `{rule}` takes no bound, and has {bound!r:.100}: give `{rule}` alone.")


def _build_supermajority(bound: str) -> Rule:
    share = _read_share(bound, "supermajority") if bound else Fraction(3, 4)
    if not HALF < share <= 1:
        raise InvalidInput(f"The rule `supermajority` has the share {bound!r:.100}: give one above 0.5, 1 at most.")
    return Supermajority(threshold=share)


def _build_weighted(bound: str) -> Rule:
    share = _read_share(bound, "weighted") if bound else HALF
    if not HALF <= share < 1:
        raise InvalidInput(f"The rule `weighted` has the share {bound!r:.100}: give 0.5 or more, below 1.")
    return Weighted(threshold=share)


def _build_veto(bound: str) -> Rule:
    share = _read_share(bound, "veto") if bound else Fraction(0)
    if not 0 <= share <= 1:
        raise InvalidInput(f"The rule `veto` has the share {bound!r:.100}: give 0 to 1.")
    return Veto(threshold=share)


def _build_score(bound: str) -> Rule:
    found = _RANGE.fullmatch(bound or "10")
    low, high = (float(found[1] or 0), float(found[2])) if found else (0.0, 0.0)
    if low >= high:
        raise InvalidInput(
            f"The rule `score` has the bounds {bound!r:.100}: give the lowest and highest, `score:0..10`."
        )
    return Score(low=low, high=high)


def _alone(rule: type[Rule], name: str) -> Callable[[str], Rule]:
    def build(bound: str) -> Rule:
        _read_none(bound, name)
        return rule()

    return build


_BUILD: dict[str, Callable[[str], Rule]] = {
    "plurality": _alone(Plurality, "plurality"),
    "majority": _alone(Majority, "majority"),
    "supermajority": _build_supermajority,
    "unanimous": _alone(Unanimous, "unanimous"),
    "weighted": _build_weighted,
    "approval": _alone(Approval, "approval"),
    "score": _build_score,
    "borda": _alone(Borda, "borda"),
    "schulze": _alone(Schulze, "schulze"),
    "ranked_pairs": _alone(RankedPairs, "ranked_pairs"),
    "instant_runoff": _alone(InstantRunoff, "instant_runoff"),
    "veto": _build_veto,
}
_WRITTEN = {
    "choice": '"choice": "<option>"',
    "approved": '"approved": ["<option>", "<option>"]',
    "ranking": '"ranking": ["<best option>", "<next option>"]',
    "scores": '"scores": {{"<option>": <{low} to {high}>, "<option>": <{low} to {high}>}}',
    "vetoes": '"vetoes": []',
}
_SAID = {
    "choice": "`choice`: one of the options, to the letter",
    "approved": "`approved`: a list of each option that you could live with",
    "ranking": "`ranking`: a list of options, the best first; those you leave out share the last place",
    "scores": "`scores`: for each option a number from {low} to {high}, the best highest; one left out has {low}",
    "vetoes": "`vetoes`: a list of options that must not be, if there are any",
}
