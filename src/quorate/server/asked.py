"""What do routes find in a request, and which parameters do many of them share?"""

from __future__ import annotations

from typing import Annotated

from litestar import Request
from litestar.datastructures import State
from litestar.params import HeaderParameter, QueryParameter

from quorate.runtime import Runtime
from quorate.security.identity import Identity
from quorate.server.streams import MEDIA_TYPE, Seats

Asked = Request[Identity, object, State]
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many at most.")]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        max_length=255,
        description="The same key and the same request are the same run, however often it is sent.",
    ),
]


def find_runtime(request: Asked) -> Runtime:
    """Return the runtime of whoever asks: the tenant is the credential's, never the request's."""
    runtime: Runtime = request.app.state.runtime
    return runtime.for_tenant(request.user.tenant, payer=request.user.payer)


def find_seats(request: Asked) -> Seats:
    """Return where it is counted who reads streams."""
    seats: Seats = request.app.state.seats
    return seats


def find_id(request: Asked) -> str:
    """Return the request's id."""
    return str(request.scope["state"]["request_id"])


def wants_stream(request: Asked) -> bool:
    """Whether events are wanted as they happen."""
    return MEDIA_TYPE in request.headers.get("accept", "")
