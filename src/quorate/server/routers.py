"""Which routes are there?"""

from __future__ import annotations

from litestar.router import Router

from quorate.server import health, runs


def build_routers() -> list[Router]:
    """Build all routes of the framework, each with what it needs."""
    return [
        health.build_router(),
        runs.build_router(),
    ]
