"""What is sent to a server that is described by a document, and which of its answers are not as the document says?"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, cast

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis import checks as known_checks
from schemathesis.core.failures import AcceptedNegativeData

WANTED = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header",
)  # fmt: skip
"""What must hold of every answer. That who may not is kept out is the matrix's matter. What fits its type may still be
refused for what it says, such as a name that nobody has."""
PATIENCE_S = 60.0


class Fuzz:
    """Sends what fits a document, and what does not, and notes the first fault of each kind.

    Args:
        document: What the server says of itself.
        url: Where it is.
        headers: What goes with every request.
        things: What ids in paths are, so that not all of them are unknown.
    """

    def __init__(
        self, document: Mapping[str, Any], *, url: str, headers: Mapping[str, str], things: Mapping[str, str]
    ) -> None:
        known_checks.load_all_checks()
        registry = cast("Any", known_checks).CHECKS  # what it holds is its own matter
        schema: Any = schemathesis.openapi.from_dict(_drop_common(document))
        schema.config.update(base_url=url)
        self.operations: list[Any] = [result.ok() for result in schema.get_all_operations()]
        self.statuses: dict[int, int] = {}
        self.faults: dict[tuple[str, ...], str] = {}
        self._checks: list[Any] = [registry.get_one(name) for name in WANTED]
        self._headers = dict(headers)
        self._things = things
        self._session = requests.Session()

    def run(
        self, *, examples: int, start: int = 0, until: float = float("inf"), leave_out: tuple[str, ...] = ()
    ) -> None:
        """Send some requests to every route, the same ones for the same `start`."""
        for operation in self.operations:
            if operation.path.startswith(leave_out or "?"):
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[: 1 + _can_be_wrong(operation)]:
                if time.monotonic() >= until:
                    return
                strategy = operation.as_strategy(generation_mode=mode)
                self._send(strategy, examples, start, fits=mode is GenerationMode.POSITIVE)

    def _send(self, strategy: Any, examples: int, start: int, *, fits: bool) -> None:
        @seed(start)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=cast("Collection[HealthCheck]", list(HealthCheck)),
        )
        @given(case=strategy)
        def send(case: Any) -> None:
            self._try(case, fits=fits)

        try:
            send()
        except Unsatisfiable:  # it takes nothing that could be wrong
            return

    def _try(self, case: Any, *, fits: bool) -> None:
        known = {name: thing for name, thing in self._things.items() if name in (case.path_parameters or {})}
        if known and fits and sum(self.statuses.values()) % 4:
            case.path_parameters = {**case.path_parameters, **known}
        response = case.call(headers=self._headers, session=self._session, timeout=PATIENCE_S)
        status = response.status_code
        self.statuses[status] = self.statuses.get(status, 0) + 1
        try:
            case.validate_response(response, checks=self._checks)
        except BaseExceptionGroup as found:
            for one in found.exceptions:
                if isinstance(one, AcceptedNegativeData) and status >= 400:
                    continue  # it was refused for another fault of it, such as its size
                place = (case.method, case.path, type(one).__name__, str(status))
                said = f"{one}\n{case.as_curl_command(headers={})}\n{response.content[:500]!r}"
                self.faults.setdefault(place, said)

    def report(self) -> str:
        """Say what is not as the document says."""
        return "\n\n".join(f"{' '.join(place)}\n{said}" for place, said in self.faults.items())


def _drop_common(document: Mapping[str, Any]) -> dict[str, Any]:
    """Take out what is said of keys and request ids, which have tests of their own.

    Our key goes with every request: many wrong ones from one place are shut out.
    """

    def drop(operation: Mapping[str, Any]) -> dict[str, Any]:
        own = [one for one in operation["parameters"] if "$ref" not in one]
        return {**operation, "parameters": own, "security": []}

    paths = {
        path: {method: drop(one) for method, one in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = {name: one for name, one in document["components"].items() if name != "securitySchemes"}
    return {**document, "paths": paths, "components": components, "security": []}


def _can_be_wrong(operation: Any) -> bool:
    """Whether an operation takes anything that not every text fits."""
    return bool(list(operation.body) or list(operation.query))
