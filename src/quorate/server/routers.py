"""Which routes are there?"""

from __future__ import annotations

from litestar.router import Router

from quorate.server import (
    agents,
    approvals,
    artifacts,
    audit,
    costs,
    decisions,
    document,
    feedback,
    health,
    keys,
    models,
    query,
    quotas,
    replays,
    runs,
    schedules,
    scrape,
    sessions,
    state,
    tenants,
    tools,
    traces,
    upkeep,
    webhooks,
    workflows,
)


def build_routers() -> list[Router]:
    """Build all routes of the framework, each with what it needs."""
    return [
        approvals.build_router(),
        health.build_router(),
        feedback.build_router(),
        query.build_router(),
        replays.build_router(),
        runs.build_router(),
        webhooks.build_router(),
        traces.build_router(),
        schedules.build_router(),
        scrape.build_router(),
        agents.build_router(),
        tools.build_router(),
        keys.build_router(),
        tenants.build_router(),
        quotas.build_router(),
        models.build_router(),
        audit.build_router(),
        costs.build_router(),
        decisions.build_router(),
        document.build_router(),
        sessions.build_router(),
        state.build_router(),
        artifacts.build_router(),
        upkeep.build_router(),
        workflows.build_router(),
    ]
