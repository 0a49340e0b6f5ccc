"""In which ways may a path be asked?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from litestar import Litestar
from litestar.exceptions import NotFoundException
from litestar.routes import HTTPRoute
from litestar.types import HTTPScope

from quorate.server.doors import find_path


class Methods:
    """Knows the methods of each path; where its routes come from several places, the framework tells of some only.

    Args:
        app: Whose paths.
    """

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._known: Mapping[str, set[str]] = defaultdict(set)
        for route in app.routes:
            if isinstance(route, HTTPRoute):
                self._known[route.path_format] |= route.methods

    def find(self, scope: HTTPScope) -> str:
        """Find what the header `Allow` says of the path of a request; empty where there is no such path."""
        path = find_path(scope)
        try:
            *_, template = self._app.asgi_router.handle_routing(path=path.rstrip("/") or "/", method="OPTIONS")
        except NotFoundException:
            return ""
        return ", ".join(sorted(self._known[template]))
