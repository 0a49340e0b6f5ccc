"""Do the modules offer what their protocols say? The type checker reads it; running it loads them."""

from quorate.models.providers import (
    Dialect,
    EmbedDialect,
    GrantDialect,
    ListDialect,
    anthropic,
    find_dialect,
    find_grant,
    gemini,
    vertex,
)
from quorate.models.providers.anthropic import listing as anthropic_listing
from quorate.models.providers.gemini import embed as gemini_embed
from quorate.models.providers.gemini import listing as gemini_listing
from quorate.models.providers.vertex import embed as vertex_embed
from quorate.models.providers.vertex import grant as vertex_grant
from quorate.models.providers.vertex import listing as vertex_listing
from quorate.models.target import find_target
from quorate.testing.provider_server import anthropic as anthropic_wire
from quorate.testing.provider_server import gemini as gemini_wire
from quorate.testing.provider_server import vertex as vertex_wire
from quorate.testing.provider_server.wire import Wire

DIALECTS: dict[str, Dialect] = {"anthropic": anthropic, "gemini": gemini, "vertex": vertex}
LISTINGS: tuple[ListDialect, ...] = (anthropic_listing, gemini_listing, vertex_listing)
EMBEDDINGS: tuple[EmbedDialect, ...] = (gemini_embed, vertex_embed)
GRANTS: tuple[GrantDialect, ...] = (vertex_grant,)
WIRES: tuple[Wire, ...] = (anthropic_wire, gemini_wire, vertex_wire)


def test_each_provider_finds_its_modules() -> None:
    for name, module in DIALECTS.items():
        provider = find_target(
            f"{name}:m", credentials=dict[str, str]().get, base_urls={name: "https://x.test/v1"}
        ).provider
        assert find_dialect(provider) is module
        assert find_grant(provider) is (vertex_grant if name == "vertex" else None)
