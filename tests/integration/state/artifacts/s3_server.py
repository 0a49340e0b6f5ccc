"""What does an S3-speaking server do? This one keeps objects in memory and checks every signature (SigV4).

It knows what a store of blobs needs: objects whole and in parts, ranges, listing in pages, deletion.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote
from xml.sax.saxutils import escape, unescape

from aiohttp import web

KEY_ID, SECRET, REGION, BUCKET = "tester", "a-secret-for-tests", "eu-test-1", "kept"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


class S3Server:
    """Objects of one bucket, and what was asked for."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self.fail_with: tuple[int, str] | None = None
        self.endpoint = ""

    @property
    def config(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "virtual_hosted_style_request": "false",
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(f"{request.method} {request.path_qs}")
        fault = find_fault(request, body)
        if fault:
            return refuse(403, fault)
        if self.fail_with is not None:
            return refuse(*self.fail_with)
        _, bucket, *rest = request.path.split("/", 2)
        if bucket != BUCKET:
            return refuse(404, "NoSuchBucket")
        key = rest[0] if rest else ""
        if not key:
            return self.delete_many(body) if "delete" in request.query else self.list(request)
        return await getattr(self, f"do_{request.method.lower()}")(request, key, body)

    async def do_put(self, request: web.Request, key: str, body: bytes) -> web.Response:
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if "uploadId" in request.query:
            self.uploads[request.query["uploadId"]][int(request.query["partNumber"])] = body
        else:
            self.objects[key] = (body, datetime.now(UTC))
        return web.Response(headers={"ETag": etag})

    async def do_post(self, request: web.Request, key: str, body: bytes) -> web.Response:
        if "uploads" in request.query:
            upload = f"upload-{len(self.asked)}"
            self.uploads[upload] = {}
            return answer_xml(f"<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")  # fmt: skip
        parts = self.uploads.pop(request.query["uploadId"])
        whole = b"".join(parts[number] for number in sorted(parts))
        self.objects[key] = (whole, datetime.now(UTC))
        return answer_xml(f'<CompleteMultipartUploadResult><Key>{escape(key)}</Key><ETag>"{len(parts)}"</ETag></CompleteMultipartUploadResult>')  # fmt: skip

    async def do_get(self, request: web.Request, key: str, body: bytes) -> web.Response:
        if key not in self.objects:
            return refuse(404, "NoSuchKey")
        found, saved = self.objects[key]
        headers = {"ETag": f'"{hashlib.md5(found).hexdigest()}"', "Last-Modified": format_datetime(saved, usegmt=True)}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(found))})
        return web.Response(body=found, headers=headers)

    do_head = do_get

    async def do_delete(self, request: web.Request, key: str, body: bytes) -> web.Response:
        if "uploadId" in request.query:
            self.uploads.pop(request.query["uploadId"], None)
        else:
            self.objects.pop(key, None)
        return web.Response(status=204)

    def delete_many(self, body: bytes) -> web.Response:
        keys = [unescape(key) for key in re.findall(r"<Key>([^<]*)</Key>", body.decode())]
        for key in keys:
            self.objects.pop(key, None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return answer_xml(f"<DeleteResult>{gone}</DeleteResult>")

    def list(self, request: web.Request) -> web.Response:
        query = request.query
        prefix, most = query.get("prefix", ""), int(query.get("max-keys", "1000"))
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = [key for key in sorted(self.objects) if key.startswith(prefix) and key > after]
        shown = keys[:most]
        more = "true" if len(keys) > len(shown) else "false"
        listed = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{saved.strftime('%Y-%m-%dT%H:%M:%S.000Z')}</LastModified>"
            f'<ETag>"x"</ETag><Size>{len(found)}</Size></Contents>'
            for key in shown
            for found, saved in [self.objects[key]]
        )
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more == "true" else ""
        return answer_xml(f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}<KeyCount>{len(shown)}</KeyCount>{listed}</ListBucketResult>")  # fmt: skip


def find_fault(request: web.Request, body: bytes) -> str:
    """Compute the signature of a request as AWS describes it, and say what is wrong with the one it bears."""
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        return "AccessDenied"
    key_id, day, region, signed, signature = match.groups()
    if (key_id, region) != (KEY_ID, REGION):
        return "InvalidAccessKeyId"
    declared = request.headers["x-amz-content-sha256"]
    if declared != "UNSIGNED-PAYLOAD" and declared != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed.split(";"))
    query = "&".join(
        sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in request.query.items())
    )
    canonical = "\n".join([request.method, quote(request.path, safe="/~"), query, headers, signed, declared])
    scope = f"{day}/{region}/s3/aws4_request"
    words = "\n".join(
        ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    right = hmac.new(key, words.encode(), "sha256").hexdigest()
    return "" if hmac.compare_digest(right, signature) else "SignatureDoesNotMatch"


def refuse(status: int, code: str) -> web.Response:
    return answer_xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)


def answer_xml(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=f'<?xml version="1.0"?>{text}', content_type="application/xml")


@asynccontextmanager
async def open_s3_server() -> AsyncIterator[S3Server]:
    """Serve on loopback until the block ends."""
    server = S3Server()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
