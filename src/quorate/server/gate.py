"""How does a request to the door of another protocol find what answers it, and in whose words is it refused?"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping

from litestar.types import HTTPScope, Message, Receive, Send

from quorate.errors import Conflict, NotFound, QuorateError
from quorate.security.identity import Need
from quorate.server.access import Doorkeeper
from quorate.server.doors import Gone, Visit, admit, answer, find_path
from quorate.server.problems import Problem, WrongMethod, build_headers, build_problem

Handle = Callable[[Visit, str], Awaitable[None]]
"""Answers a request; the text is the id in its path, where its route has one."""
Routes = Mapping[tuple[str, str], tuple[Need, Handle]]
"""By method and path: what is needed, and what answers. An id is `{name:str}`, or `{name:path}` at the end."""
WriteError = Callable[[Problem, Exception], bytes]
COME_AGAIN = frozenset({"rate_limited", "overloaded", "unavailable", "storage_full"})
"""After which refusals a program does well to come again; of all others, what can be tried was tried here already."""
PASSING = COME_AGAIN | {"upstream_error", "deadline_exceeded", "incomplete"}
"""What is logged without its trace: it is no fault of ours, and comes a thousand at a time where it comes at all."""
SHOULD_RETRY = "x-should-retry"
"""The header by which clients are told so, as their own rules would multiply what the gateway does."""
_ID = re.compile(r"\\\{\w+:(str|path)\\\}")
_logger = logging.getLogger("quorate.server")


class Gate:
    """Lets requests to one door in, and answers what goes wrong in the words of its protocol.

    Args:
        root: Where the door is.
        routes: What there is.
        doorkeeper: Knows callers.
        write_error: Writes a refusal.
        id_header: The header in which clients of its protocol look for the request's id, beside our own.
    """

    def __init__(
        self, root: str, routes: Routes, *, doorkeeper: Doorkeeper, write_error: WriteError, id_header: bytes = b""
    ) -> None:
        self.prefix = f"{root}/"
        """How the paths of all requests begin that are for it."""
        self._root = root
        self._id_header = id_header
        self._routes = routes
        self._doorkeeper = doorkeeper
        self._write_error = write_error
        self._plain = {place for place in routes if "{" not in place[1]}
        self._patterns = {path: compile_path(path) for _, path in routes if "{" in path}

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request_id = str(scope["state"]["request_id"])
        send = self._mark(send, request_id)
        try:
            template, name = self._find(scope["method"], find_path(scope).removeprefix(self._root))
            scope["path_template"] = f"{self._root}{template}"
            need, handle = self._routes[scope["method"], template]
            visit = await admit(scope, receive, send, doorkeeper=self._doorkeeper, need=need)
            await handle(visit, name)
        except Gone:
            return
        except Exception as error:  # whatever breaks is answered in the words of the protocol
            await self._refuse(send, error, request_id)

    async def refuse(self, scope: HTTPScope, send: Send, error: QuorateError, request_id: str) -> bool:
        """Answer what was refused before it came here, if it was on its way here, and say whether it was."""
        if not find_path(scope).startswith(self.prefix):
            return False
        await self._refuse(self._mark(send, request_id), error, request_id)
        return True

    async def _refuse(self, send: Send, error: Exception, request_id: str) -> None:
        problem = find_problem(error, request_id=request_id)
        should_retry = problem.code in COME_AGAIN or (isinstance(error, Conflict) and error.retryable)
        headers = {**build_headers(problem, error), SHOULD_RETRY: str(should_retry).lower()}
        await answer(send, self._write_error(problem, error), status=problem.status, headers=headers)

    def _mark(self, send: Send, request_id: str) -> Send:
        if not self._id_header:
            return send
        mark = (self._id_header, request_id.encode())

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], mark]
            await send(message)

        return send_marked

    def _find(self, method: str, path: str) -> tuple[str, str]:
        """Find the route that a path is of, and the id in it."""
        if (method, path) in self._plain:
            return path, ""
        known = {path} if "{" not in path else set[str]()
        for template, pattern in self._patterns.items():
            matched = pattern.fullmatch(path)
            if matched is not None:
                known.add(template)
                if (method, template) in self._routes:
                    return template, matched[1]
        methods = ", ".join(sorted(one for one, template in self._routes if template in known))
        if methods:
            raise WrongMethod(f"`{self._root}{path[:80]}` takes {methods} only.", allow=methods)
        raise NotFound(f"There is no `{self._root}{path[:80]}`.")


def compile_path(template: str) -> re.Pattern[str]:
    """Write what matches the paths of a template; an id is in its first group."""
    plain = re.escape(template)
    return re.compile(_ID.sub(lambda found: "(.+)" if found[1] == "path" else "([^/]+)", plain), re.DOTALL)


def find_problem(error: Exception, *, request_id: str) -> Problem:
    """Say what went wrong, and log what callers are not told."""
    problem = build_problem(error, request_id=request_id)
    if problem.code in PASSING:
        _logger.warning("Request %s: %s", request_id, error)
    elif problem.status >= 500:
        _logger.error("Request %s failed.", request_id, exc_info=error)
    return problem
