"""How do the bytes of artifacts come in and go out over HTTP?"""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

from litestar import Response, post, route
from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from quorate.errors import Conflict, CorruptState, NotFound
from quorate.ports import ArtifactInfo
from quorate.server.access import need
from quorate.server.acts import note_act
from quorate.server.artifact_rights import InSession, find_caller, find_store, show_record
from quorate.server.artifact_views import ArtifactChecked, ArtifactView, Labels, read_labels, view_artifact
from quorate.server.asked import Asked, find_id
from quorate.server.described import refuses
from quorate.server.edge import Unsupported
from quorate.server.idempotency import REPEATED
from quorate.server.problems import MEDIA_TYPE, Outdated, build_status_problem, encode_problem
from quorate.server.ranges import Span, Unsatisfiable, build_disposition, cut, read_range
from quorate.server.tags import IfMatch, IfNoneMatch, is_among
from quorate.server.transfers import BYTES, Download, UploadOperation, read_upload, take_transfer
from quorate.server.upload_once import OnceUpload, Repeated
from quorate.state.artifacts import Access

UPLOAD = ("POST", "/v1/artifacts")
"""The request whose body is a stream."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
PLAIN = frozenset(
    {
        "application/gzip",
        "application/json",
        "application/octet-stream",
        "application/vnd.tcpdump.pcap",
        "application/x-ndjson",
        "application/zip",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/markdown",
        "text/plain",
    }
)
"""Kinds of bytes that no browser runs; all others are sent as bytes of no kind."""
GUARDED = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cross-Origin-Resource-Policy": "same-origin"}
PART = ResponseSpec(bytes, generate_examples=False, description="The wanted range.", media_type=BYTES)
SAME = ResponseSpec(None, generate_examples=False, description="The reader has it already.")
UploadKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same bytes under the same name with the same key within 24 hours are one artifact.",
    ),
]


@post(
    "/artifacts",
    opt=need("artifacts", "write"),
    summary="Keep bytes as an artifact",
    operation_class=UploadOperation,
    responses=refuses(402, 404, 409, 413, 415, 504, 507),
    request_max_body_size=None,
)
async def save_artifact(
    request: Asked,
    name: Annotated[str, QueryParameter(min_length=1, max_length=255, description="What it is called.")],
    session: InSession = None,
    run: Annotated[str | None, QueryParameter(max_length=63, description="As an artifact of that run.")] = None,
    access: FromQuery[Access | None] = None,
    label: Labels = None,
    idempotency_key: UploadKey = None,
) -> Response[ArtifactView]:
    """Keep the body of the request, whatever it is, as the next version of a name.

    The name is counted within the session, else within the run, else among one's own.
    The bytes are read as they come, up to `artifacts.max_mb`; whoever leaves before their end leaves nothing behind.
    """
    kind = (request.headers.get("content-type") or BYTES).strip().lower()
    if kind.partition(";")[0].strip() in FORMS:
        raise Unsupported("a form is not read: send the bytes themselves, as `curl -X POST -T FILE` does.")
    store, labels, once = find_store(request), read_labels(label), None
    if idempotency_key is not None:
        once = OnceUpload(request, idempotency_key, values=store.values, media_type=kind)
    try:
        async with note_act(request, "artifact.save", object=f"artifact/{name}") as facts:
            caller = await find_caller(request, session, run=run)
            body = read_upload(request)
            with take_transfer(request):
                async with aclosing(body if once is None else once.read(body)) as pieces:
                    info = await store.save(
                        name,
                        pieces,
                        caller=caller,
                        media_type=kind,
                        labels=labels,
                        access=access,
                        step=once.step if once is not None else "",
                    )
            facts.update(artifact=info.id, size=str(info.size), sha256=info.digest)
    except Repeated as repeated:
        return await _answer_repeated(request, repeated.artifact, session)
    if once is not None:
        await once.settle(info.id)
    return _answer_new(info)


@route(
    "/artifacts/{artifact_id:str}/content",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt=need("artifacts", "read"),
    summary="Read an artifact",
    media_type=BYTES,
    status_code=HTTP_200_OK,
    responses={206: PART, 304: SAME, **refuses(412, 416)},
)
async def read_artifact(
    request: Asked,
    artifact_id: FromPath[str],
    session: InSession = None,
    range: Annotated[
        str | None,
        HeaderParameter(
            name="Range", max_length=1000, description="One range: `bytes=0-99`, `bytes=100-`, `bytes=-5`."
        ),
    ] = None,
    if_range: Annotated[
        str | None,
        HeaderParameter(name="If-Range", max_length=1000, description="All of it, where the `ETag` is another one."),
    ] = None,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response[bytes]:
    """Read an artifact's bytes, all of them or one range (206), to be saved and never shown in place.

    The last bytes are sent only once all of the artifact was found to be what was saved; else the answer breaks off.
    """
    caller = await find_caller(request, session)
    info = (await show_record(request, artifact_id, caller=caller)).info
    etag = f'"{info.digest}"'
    headers = {
        **GUARDED,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": build_disposition(info.name),
    }
    if if_match is not None and not is_among(if_match, etag, weak=False):
        raise Outdated("The bytes are others: read what is known of the artifact again.")
    if if_none_match is not None and is_among(if_none_match, etag, weak=True):
        return Response(b"", status_code=304, headers=headers)
    try:
        wanted = range if if_range is None or if_range.strip() == etag else None
        span = read_range(wanted if request.method == "GET" else None, size=info.size)
    except Unsatisfiable as error:
        return _answer_unsatisfiable(request, error, size=info.size)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.begin}-{span.end - 1}/{info.size}"
    chosen = span or Span(0, info.size)
    return Download(
        cut(find_store(request).open(info, caller=caller), chosen),
        request,
        size=chosen.size,
        status_code=206 if span is not None else 200,
        headers=headers,
        media_type=find_plain(info.media_type),
    )


@post(
    "/artifacts/{artifact_id:str}/verify",
    opt=need("artifacts", "read"),
    summary="Check an artifact",
    status_code=HTTP_200_OK,
)
async def verify_artifact(request: Asked, artifact_id: FromPath[str], session: InSession = None) -> ArtifactChecked:
    """Read an artifact's bytes again, and compare them with what was saved."""
    caller = await find_caller(request, session)
    info = (await show_record(request, artifact_id, caller=caller)).info
    with take_transfer(request):
        try:
            async with aclosing(find_store(request).open(info, caller=caller)) as pieces:
                async for _ in pieces:
                    pass
        except CorruptState:
            return ArtifactChecked(id=info.id, is_whole=False)
    return ArtifactChecked(id=info.id, is_whole=True)


def find_plain(media_type: str) -> str:
    """Return a kind of bytes if no browser runs it, else that of bytes of no kind."""
    kind = media_type.partition(";")[0]
    return media_type if kind in PLAIN or kind.startswith(("audio/", "video/")) else BYTES


def _answer_new(info: ArtifactInfo, *, is_repeated: bool = False) -> Response[ArtifactView]:
    headers = {"Location": f"/v1/artifacts/{info.id}", **({REPEATED: "true"} if is_repeated else {})}
    return Response(view_artifact(info), status_code=HTTP_201_CREATED, headers=headers)


async def _answer_repeated(request: Asked, artifact: str, session: str | None) -> Response[ArtifactView]:
    try:
        record = await show_record(request, artifact, caller=await find_caller(request, session))
    except NotFound as error:
        raise Conflict("What this `Idempotency-Key` was sent for before is deleted: use a new one.") from error
    return _answer_new(record.info, is_repeated=True)


def _answer_unsatisfiable(request: Asked, error: Unsatisfiable, *, size: int) -> Response[bytes]:
    problem = build_status_problem(416, error.message, request_id=find_id(request))
    headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
    return Response(encode_problem(problem), status_code=416, media_type=MEDIA_TYPE, headers=headers)


CONTENTS = (save_artifact, read_artifact, verify_artifact)
"""The routes about bytes."""
