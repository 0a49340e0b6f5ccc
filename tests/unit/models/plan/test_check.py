"""Is a gateway file read as it is meant, and is every fault of it told at once, with its line?"""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import InvalidFiles
from quorate.models.deadlines import TIMEOUTS
from quorate.models.plan import GatewayPlan, check_plan, load_plan
from quorate.models.pooled import PoolRule
from quorate.models.routed import Canary, Member
from quorate.models.shared import ShareRule

WHOLE = """
[[provider]]
name = "shop"
base_url = "http://10.0.0.5:8000/v1"
key_env = "SHOP_KEY"

[[model]]
name = "shop:llama"
context_tokens = 8_000
price = { input = 0.1, output = 0.2 }

[[model]]
name = "openai:gpt-5-mini"
price = { input = 0.2, output = 1.5 }

[[alias]]
name = "fast"
model = "quick"

[[alias]]
name = "quick"
model = "openai:gpt-5-mini"

[[alias]]
name = "best"
model = "smart"

[[route]]
name = "smart"
models = ["fast", { model = "shop:llama", weight = 2 }]
choose = "weight"
canary = { model = "openai:gpt-5.2", percent = 5 }

[[pool]]
provider = "openai"
keys = ["TEAM_A", { OPENAI_API_KEY = "TEAM_B" }]

[[bulkhead]]
model = "shop:llama"
max_in_flight = 4

[retry]
attempts = 2

[breaker]
failures = 3

[timeouts]
first_s = 20

[timeouts.ollama]
first_s = 300

[proxies]
openai = "http://proxy.internal:3128"

[hedge]
models = ["openai:gpt-5-mini"]

[share]
streams = true

[probe]
every_s = 60
"""


def find_faults(text: str) -> list[str]:
    with pytest.raises(InvalidFiles) as caught:
        check_plan(text)
    return [fault.removeprefix("gateway.toml:") for fault in caught.value.faults]


def test_an_empty_file_changes_nothing() -> None:
    """Everything works without it."""
    assert check_plan("") == GatewayPlan()


def test_a_whole_file_is_read() -> None:
    """Aliases are followed to their end, in routes too; what is known of a model is filled in."""
    plan = check_plan(WHOLE)
    assert [(row.name, row.dialect, row.otel) for row in plan.providers] == [("shop", "openai", "shop")]
    assert plan.aliases == {"fast": "openai:gpt-5-mini", "quick": "openai:gpt-5-mini", "best": "smart"}
    route = plan.routes[0]
    assert route.models == ("openai:gpt-5-mini", Member(model="shop:llama", weight=2))
    assert route.canary == Canary(model="openai:gpt-5.2", percent=5)
    assert plan.pools == (PoolRule(provider="openai", keys=("TEAM_A", {"OPENAI_API_KEY": "TEAM_B"})),)
    assert (plan.retry.attempts, plan.breaker.failures, plan.timeouts.first_s) == (2, 3, 20)
    assert plan.provider_timeouts["ollama"].first_s == 300
    assert plan.provider_timeouts["ollama"].idle_s == TIMEOUTS.idle_s
    assert plan.proxies == {"openai": "http://proxy.internal:3128"}
    assert plan.share == ShareRule(streams=True)
    assert plan.hedge is not None
    assert plan.probe is not None
    assert plan.bulkheads[0].max_in_flight == 4


def test_facts_stand_above_those_that_are_shipped() -> None:
    """A price alone may be written for a known model; the rest stays as it is known."""
    table = check_plan(WHOLE).build_table()
    facts = table.models["openai:gpt-5-mini"]
    assert (facts.price.input, facts.context_tokens) == (0.2, 400_000)
    assert table.providers["shop"].key_env == "SHOP_KEY"


def test_a_layer_is_switched_off_with_false() -> None:
    """`share = false` and `batch = false`."""
    plan = check_plan("share = false\nbatch = false\n")
    assert (plan.share, plan.batch) == (None, None)


def test_all_faults_are_told_at_once_with_their_lines() -> None:
    """Misspelled names are suggested, in tables, in lists, and deep inside."""
    faults = find_faults(
        """\
[[provider]]
name = "shop"
base_url = "http://10.0.0.5:8000/v1"
fre = true
dialect = "opnai"

[[model]]
name = "shop:llama"
context_tokens = 0
price = { input = -1, output = "2" }

[[route]]
name = "smart"
models = [{ model = "openai:gpt-5", wight = 2 }, 5]
choose = "prize"

[limitz]
x = 1

[retry]
atempts = 3
"""
    )
    assert faults == [
        "4: `provider.fre` is not known here; did you mean `free`?",
        "5: `provider.dialect` 'opnai' is none of its words; did you mean `openai`?",
        "9: `model.context_tokens` 0 does not fit: expected `int` >= 1",
        "10: `model.price.input` -1 does not fit: expected `float` >= 0.0",
        "10: `model.price.output` '2' does not fit: expected `float`, got `str`",
        "14: `route.models.wight` is not known here; did you mean `weight`?",
        "14: `route.models` 5 does not fit: expected `str | object`, got `int`",
        "15: `route.choose` 'prize' is none of its words; did you mean `price`?",
        "17: `limitz` is no table of this file; did you mean `limit`?",
        "21: `retry.atempts` is not known here; did you mean `attempts`?",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[alias]]\nname = "a"\nmodel = "b"\n[[alias]]\nname = "b"\nmodel = "a"', "3: `alias.model` leads in a circle: b → a → b"),
        ('[[alias]]\nname = "a"\nmodel = "opnai:x"', "3: `alias.model` leads nowhere: There is no model provider 'opnai'. Did you mean `openai`?"),
        ('[[alias]]\nname = "auto"\nmodel = "openai:x"', "2: `alias.name` 'auto' stands for something else; choose another name"),
        ('[[alias]]\nname = "a"\nmodel = "gpt"', "3: `alias.model` leads nowhere: There is no model, alias or route 'gpt'."),
        ('[[route]]\nname = "r"\nmodels = ["r"]', "3: `route.models` leads to the route 'r', and a route leads to models alone"),
        ('[[route]]\nname = "r"\nmodels = ["openai:x", "openai:x"]', "3: `route.models` leads to 'openai:x' twice; take one away"),
        ('[[pool]]\nprovider = "openai"\nkeys = ["A", "A"]', "3: `pool.keys` names a key twice; take one away"),
        ('[[pool]]\nprovider = "opnai"\nkeys = ["A"]', "2: `pool.provider` leads nowhere: There is no model provider 'opnai'."),
        ('[[provider]]\nname = "openai"\nbase_url = "https://x/v1"', "2: `provider.name` 'openai' comes with Quorate; choose another name"),
        ('[[provider]]\nname = "x"\nbase_url = "http://169.254.169.254/v1"', "3: `provider.base_url` `169.254.169.254` is a link-local address"),
        ('[[provider]]\nname = "x"\nbase_url = "http://1.1.1.1/v1"', "3: `provider.base_url` plain `http` would show the key to everybody"),
        ('[[provider]]\nname = "x"\nbase_url = "https://u:secret@host/v1"', "3: `provider.base_url` it may hold no user, password"),
        ('[[model]]\nname = "gpt-5"\ncontext_tokens = 1\nprice = {input=1, output=1}', "2: `model.name` 'gpt-5' does not fit"),
        ('[[model]]\nname = "openai:new"\ncontext_tokens = 1', "1: `model` needs `price`, which is missing"),
        ('[[bulkhead]]\nmodel = "gpt-5"', "2: `bulkhead.model` 'gpt-5' is no model; write `provider:model`"),
        ('[hedge]\nmodels = ["gpt-5"]', "2: `hedge.models` 'gpt-5' is no model; write `provider:model`"),
        ('[timeouts.olama]\nfirst_s = 1', "1: `timeouts.olama` leads nowhere: There is no model provider 'olama'. Did you mean `ollama`?"),
        ('[proxies]\nopenai = "proxy"', "2: `proxies.openai` the proxy's address must begin with"),
        ('route = 5', "1: `route` must be a list of tables; write each as `[[route]]`"),
        ('retry = 5', "1: `retry` must be a table; write it as `[retry]`"),
        ('[retry\nattempts = 3', "1: this is not TOML: expected"),
    ],
)  # fmt: skip
def test_a_fault_is_told(text: str, fault: str) -> None:
    """With its line, the value, and what to do."""
    faults = find_faults(text)
    assert any(found.startswith(fault) for found in faults), faults


def test_a_secret_in_the_file_is_not_repeated() -> None:
    """Whoever writes the key where its name belongs does not find it in a log."""
    faults = find_faults(
        '[[pool]]\nprovider = "openai"\nkeys = ["sk-very-secret-key"]\n'
        '[[provider]]\nname = "shop"\nbase_url = "https://host/v1"\nkey_env = "sk-very-secret-key"\n'
    )
    assert len(faults) == 2
    assert all("the key itself never stands here" in fault for fault in faults)
    assert "sk-very" not in str(faults)


def test_names_in_rows_with_other_faults_are_checked_too() -> None:
    """Nobody mends a file twice; and a name whose row has faults is known elsewhere."""
    text = """\
[[route]]
name = "smart"
models = ["opnai:x", { model = "olama:y", wieght = 1 }]
tries = 0

[[alias]]
name = "best"
model = "smart"

[[pool]]
provider = "anthropc"
"""
    faults = find_faults(text)
    assert [(fault.split(":")[0], fault.split("`")[1]) for fault in faults] == [
        ("3", "route.models.wieght"),
        ("3", "route.models"),
        ("3", "route.models"),
        ("4", "route.tries"),
        ("10", "pool"),
        ("11", "pool.provider"),
    ]


def test_a_provider_with_faults_is_known_elsewhere() -> None:
    """One mistake is one fault."""
    text = '[[provider]]\nname = "shop"\nbase_url = "ftp://x"\n[[alias]]\nname = "a"\nmodel = "shop:llama"\n'
    assert [fault.split(":")[0] for fault in find_faults(text)] == ["3"]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\xff", "is not UTF-8; save the file as UTF-8"), (b"#" * (1 << 20 | 1), "it has more than 1048576 bytes")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, data: bytes, said: str) -> None:
    """It is a fault, not a crash."""
    file = tmp_path / "gateway.toml"
    file.write_bytes(data)
    with pytest.raises(InvalidFiles, match=re.escape(said)):
        load_plan(file)
    with pytest.raises(InvalidFiles, match="No such file"):
        load_plan(tmp_path / "gone.toml")


@given(st.text(alphabet='[]="\n {}alisroutemdpx:.5-', max_size=120))
def test_any_text_is_a_plan_or_has_faults(text: str) -> None:
    """Nothing else comes out of a file."""
    with suppress(InvalidFiles):
        check_plan(text)


def test_a_tokenizers_file_stands_beside_the_gateway_file(tmp_path: Path) -> None:
    """Wherever the process was started; the order of the rules is kept."""
    text = '[[tokenizer]]\nmodels = ["openai:*"]\nkind = "o200k"\n[[tokenizer]]\nmodels = ["shop:*"]\nkind = "file"\nfile = "t.json"\n'
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    assert [rule.file for rule in load_plan(tmp_path / "gateway.toml").tokenizers] == ["", str(tmp_path / "t.json")]
