"""The media types of request bodies that are accepted: JSON in UTF-8, not compressed.

It is free of Flask, because the event loop uses it too.
"""

from __future__ import annotations

from email.message import Message

from modelsync.errors import UnsupportedBody

ADVICE = "send JSON with Content-Type: application/json"
"""The end of each message about a content type."""


def check_media_type(content_type: str | None, content_encoding: str | None = None) -> None:
    """Check the headers of a request's body. Raises UnsupportedBody unless it is JSON in UTF-8.

    The media type is `application/json` or `application/*+json`. A missing content type is refused
    too, even with an empty body, so that there is one rule and no guess.
    """
    if content_encoding and content_encoding.strip().lower() != "identity":
        raise UnsupportedBody(
            f"Content-Encoding {_shown(content_encoding)} is not supported: send the body as it is"
        )
    if content_type == "application/json":
        return
    if not content_type or not content_type.strip():
        raise UnsupportedBody(f"the request has no Content-Type: {ADVICE}")
    header = Message()
    header["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    media_type = header.get_content_type()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedBody(f"Content-Type {_shown(content_type)} is not supported: {ADVICE}")
    try:
        charset = str(header.get_param("charset", "utf-8")).lower()
    except ValueError:  # a parameter's number (RFC 2231) that Python cannot parse
        raise UnsupportedBody(
            f"Content-Type {_shown(content_type)} is not supported: {ADVICE}"
        ) from None
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedBody(
            f"charset {_shown(charset)} is not supported: JSON is UTF-8 (RFC 8259 section 8.1)"
        )


def _shown(header: str) -> str:
    return repr(header[:100])
