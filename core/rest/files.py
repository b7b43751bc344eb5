"""`/files/{id}/`: what a stored file is, its content in whole or in part, and links that open it without signing in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date, parse_http_date_safe
from rest_framework.request import Request
from rest_framework.response import Response

from core.files.models import StoredFile
from core.files.operations import (
    DEFAULT_LINK_LIFETIME,
    MAX_LINK_LIFETIME,
    MIN_LINK_LIFETIME,
    count_download,
    create_link,
    revoke_links,
)
from core.files.queries import get_file, get_linked_file, open_file
from core.kernel.errors import DomainError, Fault, Invalid, Stale, as_object
from core.rest import problems
from core.rest.ranges import ByteRange, NotSatisfiable, read_range
from core.rest.schema import Content, documented
from core.rest.views import MEMBER, ApiView

BLOCK_BYTES = 256 * 1024
LINK_PATH = "/api/v1/files/d/"

_TIME = {"type": "string", "format": "date-time"}
_ID_OR_NULL = {"type": ["string", "null"], "format": "uuid"}
_FILE = {
    "title": "StoredFile",
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"type": "string"},
        "name": {"type": "string"},
        "content_type": {"type": "string", "description": "Told from the content."},
        "size": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string"},
        "entity_type": {"type": "string", "description": "The record it belongs to; empty for none."},
        "record_id": _ID_OR_NULL,
        "created_at": _TIME,
        "created_by": _ID_OR_NULL,
        "expires_at": {"type": ["string", "null"], "format": "date-time"},
        "download_count": {"type": "integer", "minimum": 0},
    },
    "additionalProperties": False,
}
_FILE["required"] = list(_FILE["properties"])  # type: ignore[call-overload]
_LINK_INPUT = {
    "type": "object",
    "properties": {
        "expires_in": {
            "type": "integer",
            "minimum": int(MIN_LINK_LIFETIME.total_seconds()),
            "maximum": int(MAX_LINK_LIFETIME.total_seconds()),
            "description": f"Seconds; without it {int(DEFAULT_LINK_LIFETIME.total_seconds())}.",
        }
    },
    "additionalProperties": False,
}
_LINK = {
    "title": "FileLink",
    "type": "object",
    "required": ["url", "expires_at"],
    "properties": {"url": {"type": "string", "format": "uri"}, "expires_at": _TIME},
    "additionalProperties": False,
}
_BYTES = Content("*/*")


class RangeNotSatisfiable(DomainError):
    code, status, title = "range_not_satisfiable", 416, "The file has no such range of bytes"


def _written(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def file_document(file: StoredFile) -> dict[str, Any]:
    """A stored file as the API shows it. Where its bytes lie is nobody's business."""
    return {
        "id": str(file.pk),
        "kind": file.kind,
        "name": file.name,
        "content_type": file.content_type,
        "size": file.size,
        "sha256": file.sha256,
        "entity_type": file.entity_type,
        "record_id": str(file.record_id) if file.record_id else None,
        "created_at": _written(file.created_at),
        "created_by": str(file.created_by_id) if file.created_by_id else None,
        "expires_at": _written(file.expires_at),
        "download_count": file.download_count,
    }


class FileView(ApiView):
    """What a stored file is."""

    verbs = {"get": MEMBER}

    @documented(response=_FILE)
    def get(self, request: Request, pk: str) -> Response:
        return Response(file_document(get_file(self.actor, pk, self.now)))


class FileDownloadView(ApiView):
    """The content of a stored file; `Range` asks for a part of it, `If-Range` only while it is the same."""

    verbs = {"get": MEMBER}

    @documented(response=_BYTES, also={206: _BYTES, 304: None}, errors=(410, 412, 416))
    def get(self, request: Request, pk: str) -> HttpResponseBase:
        return answer_with_file(request._request, get_file(self.actor, pk, self.now))


class FileLinkView(ApiView):
    """Links that open a file without signing in."""

    verbs = {"post": MEMBER, "delete": MEMBER}

    @documented(request=_LINK_INPUT, optional_body=True, response=_LINK, status=201, secret=True)
    def post(self, request: Request, pk: str) -> Response:
        """Make a link that opens the file without signing in, for a short time."""
        lifetime = _lifetime(as_object(request.data))
        file = get_file(self.actor, pk, self.now)
        link = create_link(file, now=self.now, lifetime=lifetime)
        body = {
            "url": request.build_absolute_uri(f"{LINK_PATH}{link.token}/"),
            "expires_at": _written(link.expires_at),
        }
        return Response(body, status=201, headers={"Cache-Control": "no-store"})

    @documented(status=204)
    def delete(self, request: Request, pk: str) -> HttpResponse:
        """Make all links to the file void."""
        revoke_links(actor=self.actor, file=get_file(self.actor, pk, self.now), now=self.now)
        return HttpResponse(status=204)


def _lifetime(body: Any) -> timedelta:
    faults = [
        Fault(name, "unknown_field", "There is no such field.") for name in body if name != "expires_in"
    ]
    given = body.get("expires_in", int(DEFAULT_LINK_LIFETIME.total_seconds()))
    least, most = int(MIN_LINK_LIFETIME.total_seconds()), int(MAX_LINK_LIFETIME.total_seconds())
    is_number = not isinstance(given, bool | str | list | dict | None) and given == given // 1
    if not is_number or not least <= given <= most:
        faults.append(Fault("expires_in", "out_of_range", f"{least} to {most} seconds."))
    if faults:
        raise Invalid(faults=faults)
    return timedelta(seconds=int(given))


class LinkedFileView(ApiView):
    """The content of a file, for whoever has its link."""

    public = True
    authentication_classes = ()

    @documented(
        response=_BYTES,
        also={206: _BYTES, 304: None},
        errors=(410, 412, 416),
        path={"token": {"type": "string", "minLength": 1, "maxLength": 400, "pattern": r"^[^\u0000/]+$"}},
    )
    def get(self, request: Request, token: str) -> HttpResponseBase:
        answer = answer_with_file(request._request, get_linked_file(token, self.now))
        # The address is the key: it goes to nobody else.
        answer["Referrer-Policy"] = "no-referrer"
        answer["X-Robots-Tag"] = "noindex"
        return answer


# --- content ---------------------------------------------------------------------------------------------------------


def answer_with_file(request: HttpRequest, file: StoredFile) -> HttpResponseBase:
    """The file's content, or the part or the news of it that the request asks for (RFC 9110). Needs a transaction.

    Always as an attachment that no browser interprets. It is read while it is sent, in constant memory.
    Raises: Stale, Gone, Unavailable.
    """
    etag = f'"{file.sha256}"'
    stored_at = int(file.created_at.timestamp())
    answer: HttpResponseBase | None = get_conditional_response(request, etag=etag, last_modified=stored_at)
    if answer is not None and answer.status_code == Stale.status:
        raise Stale("The file is not the one you mean.")
    if answer is None:
        try:
            answer = _content(request, file, _wanted(request, file.size, etag, stored_at))
        except NotSatisfiable:
            answer = problems.response(RangeNotSatisfiable(size=file.size))
            answer["Content-Range"] = f"bytes */{file.size}"
    answer["ETag"] = etag
    answer["Last-Modified"] = http_date(stored_at)
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "private, no-cache"
    return answer


def _wanted(request: HttpRequest, size: int, etag: str, stored_at: int) -> ByteRange | None:
    header = request.headers.get("Range", "")
    # Other methods have no ranges.
    if not header or request.method != "GET":
        return None
    condition = request.headers.get("If-Range", "").strip()
    if condition and condition != etag and parse_http_date_safe(condition) != stored_at:
        return None
    return read_range(header, size)


def _content(request: HttpRequest, file: StoredFile, part: ByteRange | None) -> HttpResponseBase:
    length = file.size if part is None else part.length
    answer: HttpResponseBase
    if request.method == "HEAD":
        answer = HttpResponse()
    else:
        source = open_file(file)
        answer = StreamingHttpResponse(_blocks(source, part.first if part else 0, length))
        # Closed with the answer, also when nobody has read it.
        answer._resource_closers.append(source.close)  # type: ignore[attr-defined]
        if part is None or part.first == 0:
            count_download(file)
    if part is not None:
        answer.status_code = 206
        answer["Content-Range"] = part.of(file.size)
    answer["Content-Type"] = file.content_type
    answer["Content-Length"] = str(length)
    answer["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def _blocks(source: Any, first: int, length: int) -> Iterator[bytes]:
    source.seek(first)
    while length and (block := source.read(min(BLOCK_BYTES, length))):
        length -= len(block)
        yield block
