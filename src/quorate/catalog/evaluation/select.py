"""Which of all cases are to be gone through?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quorate.catalog.evaluation.case import Case
from quorate.errors import InvalidInput, UnknownName


def select_cases(cases: Sequence[Case], *, tags: Collection[str] = (), names: Collection[str] = ()) -> tuple[Case, ...]:
    """Choose cases by their tags, any of which will do, and by their ids.

    Raises:
        UnknownName: There is no case of that id.
        InvalidInput: There are none, or two have one id.
    """
    found = {case.id: case for case in cases}
    if len(found) < len(cases):
        ids = [case.id for case in cases]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        raise InvalidInput(f"These cases come twice: {', '.join(twice[:10])}. Give each an id of its own.")
    for name in names:
        if name not in found:
            raise UnknownName("case", name, found)
    chosen = tuple(
        case for case in cases if (not names or case.id in names) and (not tags or not set(tags).isdisjoint(case.tags))
    )
    if not chosen:
        raise InvalidInput(
            "There are no such cases: name files of cases, or agents whose files carry some by `--agents`."
        )
    return chosen
