"""What does it cost to import the model gateway, and what of it is loaded before it is used?"""

from tests.house.source import SRC
from tests.house.test_import_cost import EXTRAS, measure

MODULES_MOST = 250
DIALECTS = sorted(path.parent.name for path in (SRC / "models/providers").glob("*/__init__.py"))
GATEWAY = "import quorate.models, quorate.models.gateway, quorate.models.plan"
SDKS = {"openai", "anthropic", "litellm", "botocore", "google", "httpx", "tiktoken", "tokenizers", "redis"}


def test_the_gateway_with_all_providers_is_cheap() -> None:
    """All layers and all dialects are at most 250 modules; no HTTP client and no vendor's library is among them."""
    rooms = ", ".join(f"quorate.models.providers.{name}" for name in DIALECTS)
    cost = measure(f"{GATEWAY}, {rooms}")
    loaded = {module.split(".")[0] for module in cost["new"]}
    assert len(DIALECTS) >= 9
    assert not loaded & ({*EXTRAS} | SDKS)
    assert not cost["io"]
    assert not cost["threads"]
    assert not cost["environment"]
    assert len(cost["new"]) <= MODULES_MOST, f"{len(cost['new'])} modules, at most {MODULES_MOST}"


def test_no_provider_is_loaded_before_it_is_used() -> None:
    """Neither its code nor its facts: a gateway that asks one provider knows nothing of the others."""
    cost = measure(GATEWAY)
    rooms = {module for module in cost["new"] if module.startswith("quorate.models.providers.")}
    assert not {room.split(".")[3] for room in rooms} & set(DIALECTS)
    assert not cost["io"]
    statement = (
        "from quorate.models.gateway import build_model; import quorate.models.facts as facts; "
        "build_model('groq:llama', credentials={'GROQ_API_KEY': 'a-key-0123456789'}.get); "
        "assert facts.load_provider.cache_info().currsize == 1, facts.load_provider.cache_info(); "
        "assert facts.load_table.cache_info().currsize == 0"
    )
    rooms = {module for module in measure(statement)["new"] if module.startswith("quorate.models.providers.")}
    assert {room.split(".")[3] for room in rooms} & set(DIALECTS) == {"openai"}
