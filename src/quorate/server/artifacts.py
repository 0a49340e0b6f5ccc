"""How are artifacts found, shared and deleted over HTTP?"""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from quorate.errors import NotFound
from quorate.server.access import need
from quorate.server.acts import note_act
from quorate.server.artifact_rights import InSession, find_caller, find_store, show_record
from quorate.server.artifact_views import (
    ArtifactRecord,
    ArtifactView,
    Labels,
    ShareRequest,
    build_share,
    read_labels,
    view_artifact,
    view_record,
)
from quorate.server.asked import Asked, Limit
from quorate.server.contents import CONTENTS
from quorate.server.described import refuses
from quorate.server.pages import Cursor
from quorate.server.tags import IfMatch, IfNoneMatch, build_tag, check_match, tag
from quorate.server.views import Page
from quorate.state.artifacts import ArtifactQuery, Caller, search_artifacts

Moment = Annotated[float | None, QueryParameter(description="Wall time in seconds.")]
Size = Annotated[int | None, QueryParameter(ge=0, description="In bytes.")]


@get("/artifacts", opt=need("artifacts", "read"), summary="List artifacts", responses=refuses(404))
async def list_artifacts(
    request: Asked,
    name: FromQuery[str] = "",
    media_type: FromQuery[str] = "",
    label: Labels = None,
    session: InSession = None,
    run: FromQuery[str] = "",
    owner: FromQuery[str] = "",
    sha256: FromQuery[str] = "",
    since: Moment = None,
    before: Moment = None,
    min_size: Size = None,
    max_size: Size = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ArtifactView]:
    """List the artifacts that one may read and that match all that is given, the newest version of each name first.

    `name` may be a pattern such as `report*`, and `media_type` one such as `text/*`.
    Those that belong to a session are found for whoever works in it by naming it in `session`.
    """
    query = ArtifactQuery(
        name=name,
        media_type=media_type,
        labels=read_labels(label),
        session=session or "",
        run=run,
        principal=owner,
        digest=sha256,
        since=since,
        before=before,
        min_size=min_size or 0,
        max_size=max_size,
    )
    caller = await find_caller(request, session)
    page = await search_artifacts(find_store(request), query, caller=caller, after=cursor or "", limit=limit)
    return Page(data=[view_artifact(info) for info in page.items], next_cursor=page.next or None)


@get("/artifacts/named", opt=need("artifacts", "read"), summary="Find an artifact by name", responses=refuses(404))
async def find_artifact(
    request: Asked,
    name: Annotated[str, QueryParameter(min_length=1, max_length=255, description="What it is called.")],
    version: Annotated[int | None, QueryParameter(ge=1, description="The last one, when not given.")] = None,
    session: InSession = None,
) -> ArtifactView:
    """Find the last version of a name, or a given one, among the artifacts of a session or among one's own."""
    caller = await find_caller(request, session)
    info = await find_store(request).find(name, caller=caller, version=version)
    if info is None:
        raise NotFound(f"There is no artifact {name!r}: list them with `quorate artifacts list`.")
    return view_artifact(info)


@get("/artifacts/{artifact_id:str}", opt=need("artifacts", "read"), summary="Show an artifact")
async def show_artifact(
    request: Asked, artifact_id: FromPath[str], session: InSession = None, if_none_match: IfNoneMatch = None
) -> Response[ArtifactRecord]:
    """Show what is known of an artifact, and who may read it."""
    caller = await find_caller(request, session)
    return tag(request, view_record(await show_record(request, artifact_id, caller=caller)))


@post(
    "/artifacts/{artifact_id:str}/shares",
    opt=need("artifacts", "write"),
    summary="Share an artifact",
    status_code=HTTP_200_OK,
    responses=refuses(409, 412),
)
async def share_artifact(
    request: Asked, artifact_id: FromPath[str], data: JSONBody[ShareRequest], if_match: IfMatch = None
) -> Response[ArtifactRecord]:
    """Let somebody else read an artifact, also until another time than before; only whoever it was saved for may."""
    async with note_act(request, "artifact.share", object=f"artifact/{artifact_id}") as facts:
        caller = await _check_tag(request, artifact_id)
        given = build_share(data.principal, data.session, everybody=data.everybody, until=data.until)
        facts.update(kind=given.kind, who=given.who)
        record = await find_store(request).share(artifact_id, given, caller=caller)
    return tag(request, view_record(record))


@delete(
    "/artifacts/{artifact_id:str}/shares",
    opt=need("artifacts", "write"),
    summary="Take a share back",
    status_code=HTTP_204_NO_CONTENT,
    responses=refuses(409, 412),
)
async def unshare_artifact(
    request: Asked,
    artifact_id: FromPath[str],
    principal: FromQuery[str | None] = None,
    session: FromQuery[str | None] = None,
    everybody: FromQuery[bool] = False,
    if_match: IfMatch = None,
) -> None:
    """Let somebody read an artifact no more."""
    async with note_act(request, "artifact.unshare", object=f"artifact/{artifact_id}") as facts:
        caller = await _check_tag(request, artifact_id)
        given = build_share(principal, session, everybody=everybody)
        facts.update(kind=given.kind, who=given.who)
        if not await find_store(request).unshare(artifact_id, given, caller=caller):
            raise NotFound(f"Artifact {artifact_id!r} is not shared so.")


@delete(
    "/artifacts/{artifact_id:str}",
    opt=need("artifacts", "write"),
    summary="Delete an artifact",
    status_code=HTTP_204_NO_CONTENT,
    responses=refuses(409, 412),
)
async def delete_artifact(request: Asked, artifact_id: FromPath[str], if_match: IfMatch = None) -> None:
    """Forget an artifact, and its bytes where nothing else has them; only whoever it was saved for may."""
    async with note_act(request, "artifact.delete", object=f"artifact/{artifact_id}"):
        caller = await _check_tag(request, artifact_id)
        await find_store(request).delete(artifact_id, caller=caller)


async def _check_tag(request: Asked, artifact_id: str) -> Caller:
    """Say on whose behalf an artifact is changed, if it is there for them, and is what `If-Match` says.

    Raises:
        NotFound: It is not there, or not for them.
        Outdated: It is something else.
    """
    caller = await find_caller(request)
    check_match(request, build_tag(view_record(await show_record(request, artifact_id, caller=caller))))
    return caller


def build_router() -> Router:
    """Build the routes about artifacts."""
    return Router(
        "/v1",
        route_handlers=[
            *CONTENTS,
            list_artifacts,
            find_artifact,
            show_artifact,
            share_artifact,
            unshare_artifact,
            delete_artifact,
        ],
        tags=["artifacts"],
    )
