"""Does `quorate serve` let in whom an identity provider signed for?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.acceptance.cli.test_serve import ask, serve

KEY, OTHER = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()


@contextmanager
def provide() -> Iterator[str]:
    """An identity provider on loopback; gives its address."""

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = f"http://{self.headers['Host']}"
            jwk = {**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key())), "kid": "one"}
            said = {"keys": [jwk]} if self.path == "/keys" else {"issuer": host, "jwks_uri": f"{host}/keys"}
            data = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_token_lets_in_as_the_settings_say(project: Path) -> None:
    """Whose signature is not the provider's stays outside. part of row C12"""
    with provide() as issuer:
        with (project / "quorate.toml").open("a") as file:
            file.write(
                f'\n[[server.issuers]]\nissuer = "{issuer}"\naudience = "quorate"\ntenant = "default"\n'
                'role_claim = "groups"\nroles = { ops = "viewer" }\n'
            )
        claims = {
            "iss": issuer, "aud": "quorate", "sub": "ann", "groups": ["ops"],
            "iat": int(time.time()), "exp": int(time.time()) + 600,
        }  # fmt: skip
        good, forged = [jwt.encode(claims, key, "EdDSA", headers={"kid": "one"}) for key in (KEY, OTHER)]
        with serve(project) as (_, place):
            assert ask(place, "GET", "/v1/runs", key=good).status == 200
            assert ask(place, "POST", "/v1/runs", key=good, body={"task": "watch the disk"}).status == 403
            assert ask(place, "GET", "/v1/runs", key=forged).status == 401
