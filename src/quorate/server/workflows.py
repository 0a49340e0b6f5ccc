"""Which workflows and teams are there, what do they look like, and how is a workflow run with typed inputs?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta, Struct

from quorate.errors import NotFound
from quorate.orchestration.teams.spec import Pattern, list_parts
from quorate.orchestration.teams.spec import Team as TeamFile
from quorate.orchestration.workflow.check import read_inputs
from quorate.orchestration.workflow.load import Definitions
from quorate.orchestration.workflow.plan import list_needs
from quorate.orchestration.workflow.show import describe_step, draw_mermaid
from quorate.orchestration.workflow.spec import InputType, StepKind, Workflow
from quorate.server.access import need
from quorate.server.asked import Asked, Key, Limit, find_runtime
from quorate.server.described import refuses
from quorate.server.runs import UNDER_WAY, Wait, begin_run
from quorate.server.streams import EventStream
from quorate.server.tags import IfNoneMatch, tag
from quorate.server.views import LabelMap, Page, RunRequest, RunView, Word, build_page
from quorate.specs import Limits

Cursor = Annotated[str | None, QueryParameter(max_length=200, description="What `next_cursor` of a page said.")]
Order = FromQuery[Literal["name", "-name"]]


class WorkflowView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="workflow"):
    """A workflow, as a list shows it."""

    name: Annotated[str, Meta(examples=["incident-triage"])]
    version: str
    description: str
    needs_model: bool
    """Whether it brings agents along, which need a language model."""
    artifacts: tuple[str, ...] = ()
    """The names of the artifacts that it leaves."""


class InputView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a workflow is given."""

    type: InputType
    description: str = ""
    required: bool = False
    default: object = None
    choices: tuple[object, ...] = ()


class StepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a workflow."""

    id: str
    kind: StepKind
    what: str
    """What it does, in a few words."""
    about: str = ""
    """What it is for."""
    needs: tuple[str, ...] = ()
    """The steps that have ended before it begins."""
    optional: bool = False


class WorkflowCard(WorkflowView, frozen=True, kw_only=True, omit_defaults=True, tag="workflow"):
    """All that callers may know of a workflow."""

    inputs: dict[str, InputView]
    steps: tuple[StepView, ...]
    mermaid: str
    """The graph as a Mermaid flowchart."""
    timeout_s: float


class TeamView(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object", tag="team"):
    """A team of agents; it is asked like an agent of its name."""

    name: Annotated[str, Meta(examples=["crew"])]
    version: str
    description: str
    pattern: Pattern
    """How it works."""
    members: tuple[str, ...]
    """Everybody who takes part."""


class WorkflowRunRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a workflow is run with."""

    inputs: Annotated[dict[str, object], Meta(examples=[{"symptom": "http://127.0.0.1:9 does not answer"}])] = {}
    """By name, each of its type."""
    model: Word | None = None
    """Instead of the models of its agents."""
    session: Word | None = None
    """The session it belongs to."""
    limits: Limits | None = None
    """Instead of the workflow's own; never above the server's."""
    labels: LabelMap = {}
    """Facts to find the run by."""


V = TypeVar("V", WorkflowView, TeamView)


@get("/workflows", opt=need("agents", "read"), summary="List workflows")
async def list_workflows(
    request: Asked, order: Order = "name", cursor: Cursor = None, limit: Limit = 50
) -> Page[WorkflowView]:
    """List the workflows there are, by name, a page at a time."""
    found = [view_workflow(one) for one in (await find_definitions(request)).workflows.values()]
    return _page(found, order=order, cursor=cursor, limit=limit)


@get("/workflows/{workflow_name:str}", opt=need("agents", "read"), summary="Show a workflow")
async def show_workflow(
    request: Asked, workflow_name: FromPath[str], if_none_match: IfNoneMatch = None
) -> Response[WorkflowCard]:
    """Show which inputs a workflow takes, its steps with what each needs, and its graph."""
    return tag(request, describe_workflow(await find_workflow(request, workflow_name)))


@post(
    "/workflows/{workflow_name:str}/runs",
    opt=need("runs", "write"),
    status_code=HTTP_200_OK,
    summary="Run a workflow",
    responses={HTTP_202_ACCEPTED: UNDER_WAY, **refuses(402, 409)},
)
async def run_workflow(
    request: Asked,
    workflow_name: FromPath[str],
    data: JSONBody[WorkflowRunRequest],
    wait: Wait = 0.0,
    idempotency_key: Key = None,
) -> Response[RunView] | EventStream:
    """Run a workflow with inputs that are checked first: a missing, unknown or wrong one is refused by its name.

    The run is one like any other: see `POST /v1/runs` for `wait` and streams. Its output is a report in JSON.
    """
    workflow = await find_workflow(request, workflow_name)
    inputs = read_inputs(workflow, data.inputs)
    order = RunRequest(
        task=msgspec.json.encode(inputs).decode(),
        agent=workflow.name,
        model=data.model,
        session=data.session,
        limits=data.limits,
        labels=data.labels,
    )
    return await begin_run(request, order, wait=wait, idempotency_key=idempotency_key)


@get("/teams", opt=need("agents", "read"), summary="List teams")
async def list_teams(request: Asked, order: Order = "name", cursor: Cursor = None, limit: Limit = 50) -> Page[TeamView]:
    """List the teams there are, by name, a page at a time; `POST /v1/runs` asks one by its name as `agent`."""
    found = [view_team(one) for one in (await find_definitions(request)).teams.values()]
    return _page(found, order=order, cursor=cursor, limit=limit)


@get("/teams/{team_name:str}", opt=need("agents", "read"), summary="Show a team")
async def show_team(request: Asked, team_name: FromPath[str], if_none_match: IfNoneMatch = None) -> Response[TeamView]:
    """Show how a team works, and who takes part."""
    team = (await find_definitions(request)).teams.get(team_name)
    if team is None:
        raise NotFound(f"There is no team {team_name[:80]!r}: `GET /v1/teams` lists them.")
    return tag(request, view_team(team))


async def find_definitions(request: Asked) -> Definitions:
    """Find the workflows and teams there are; reading them takes files, so that it is done beside the event loop."""
    return await asyncio.to_thread(find_runtime(request).find_definitions) or Definitions()


async def find_workflow(request: Asked, name: str) -> Workflow:
    """Find a workflow by name.

    Raises:
        NotFound: There is none.
    """
    found = (await find_definitions(request)).workflows.get(name)
    if found is None:
        raise NotFound(f"There is no workflow {name[:80]!r}: `GET /v1/workflows` lists them.")
    return found


def view_workflow(workflow: Workflow) -> WorkflowView:
    """Build what a list shows of a workflow."""
    return WorkflowView(
        name=workflow.name,
        version=workflow.version,
        description=workflow.description,
        needs_model=bool(workflow.agents),
        artifacts=workflow.artifacts,
    )


def describe_workflow(workflow: Workflow) -> WorkflowCard:
    """Build all that callers may know of a workflow; what its agents are told is not for them."""
    inputs = {
        name: InputView(
            type=rule.type,
            description=rule.description,
            required=rule.default is None,
            default=rule.default,
            choices=rule.choices,
        )
        for name, rule in workflow.inputs.items()
    }
    steps = tuple(
        StepView(
            id=step.id,
            kind=step.kind,
            what=describe_step(step),
            about=step.about,
            needs=tuple(sorted(list_needs(step))),
            optional=step.optional,
        )
        for step in workflow.steps
    )
    return WorkflowCard(
        name=workflow.name,
        version=workflow.version,
        description=workflow.description,
        needs_model=bool(workflow.agents),
        artifacts=workflow.artifacts,
        inputs=inputs,
        steps=steps,
        mermaid="\n".join(draw_mermaid(workflow)),
        timeout_s=workflow.timeout_s,
    )


def view_team(team: TeamFile) -> TeamView:
    """Build what callers may know of a team."""
    return TeamView(
        name=team.name,
        version=team.version,
        description=team.description,
        pattern=team.pattern,
        members=tuple(list_parts(team)),
    )


def _page(found: Sequence[V], *, order: str, cursor: str | None, limit: int) -> Page[V]:
    listed = sorted(found, key=lambda view: view.name, reverse=order == "-name")
    if cursor is not None:
        listed = [view for view in listed if (view.name < cursor if order == "-name" else view.name > cursor)]
    page = listed[:limit]
    return build_page(page, limit=limit, cursor=page[-1].name if len(listed) > limit else None)


def build_router() -> Router:
    """Build the routes about workflows and teams."""
    return Router(
        "/v1",
        route_handlers=[list_workflows, show_workflow, run_workflow, list_teams, show_team],
        tags=["workflows"],
    )
