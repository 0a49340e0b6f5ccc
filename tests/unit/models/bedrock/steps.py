"""Which signature does AWS work out? The published steps, written apart from the code that signs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote


def work_out(
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    region: str,
    service: str = "bedrock",
) -> str:
    """Work out the signature of a request as it was received: its path as it stood there, its signed headers."""
    stamp = headers["x-amz-date"]
    names = ";".join(sorted(headers))
    lines = [
        method,
        quote(path, safe="/-_.~"),  # once more than it came, for every service but one
        "&".join(sorted(query.split("&"))) if query else "",
        *[f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)],
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in (stamp[:8], region, service, "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return hmac.new(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256).hexdigest()
