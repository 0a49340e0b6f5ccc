"""Does the page about the gateway file name every table, and every key of each?"""

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Struct, structs

from quorate.models import plan
from quorate.models.cost import Price
from quorate.models.guards.rules import GuardRule, Rule

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/gateway-file.md"
TABLES: dict[str, type[Struct]] = {
    "[[provider]]": plan.Provider,
    "[[model]]": plan.ModelFacts,
    "price": Price,
    "[[alias]]": plan.AliasRule,
    "[[route]]": plan.RouteRule,
    "[[pool]]": plan.PoolRule,
    "[[bulkhead]]": plan.BulkheadRule,
    "[retry]": plan.RetryPolicy,
    "[breaker]": plan.BreakerPolicy,
    "[timeouts]": plan.Timeouts,
    "[hedge]": plan.HedgeRule,
    "[share]": plan.ShareRule,
    "[batch]": plan.BatchRule,
    "[probe]": plan.ProbeRule,
    "[[limit]]": plan.LimitRule,
    "[limits]": plan.LimitsPlace,
    "[[budget]]": plan.BudgetRule,
    "[prices]": plan.PricesPlace,
    "[cache]": plan.CachePlan,
    "[semantic]": plan.SemanticPlan,
    "[[tokenizer]]": plan.TokenizerRule,
    "[[guard]]": Rule,
}


def read_sections() -> dict[str, list[str]]:
    """The keys below each heading."""
    parts = re.split(r"^##+ `(.+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        title: re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("title", sorted(TABLES))
def test_every_key_of_a_table_is_told(title: str) -> None:
    """And no other; each with its default and what it means."""
    known = [field.encode_name for field in structs.fields(TABLES[title])]
    assert [key for key in read_sections()[title] if key != "kind" or title != "[[guard]]"] == known


@pytest.mark.parametrize("kind", get_args(GuardRule), ids=lambda kind: str(kind.__struct_config__.tag))
def test_every_kind_of_guard_is_told(kind: type[Struct]) -> None:
    """With the keys of its own."""
    common = {field.name for field in structs.fields(Rule)}
    known = [field.name for field in structs.fields(kind) if field.name not in common]
    assert read_sections()[f'kind = "{kind.__struct_config__.tag}"'] == known


def test_every_table_that_is_read_is_told() -> None:
    """As the reader itself says when it meets an unknown one."""
    with pytest.raises(plan.InvalidFiles) as caught:
        plan.check_plan("[zzz]\n")
    known = set(re.findall(r"`(\w+)`", str(caught.value).partition("known:")[2]))
    assert known == {title.strip("[]") for title in read_sections() if title.startswith("[")}
