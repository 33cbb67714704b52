"""Parsing of request bodies: the images in a form."""

from email.message import Message

from tornado.httputil import (
    HTTPFile,
    HTTPHeaders,
    HTTPInputError,
    ParseMultipartConfig,
    parse_multipart_form_data,
)

from malaria_detect.app.server.problems import Problem

FIELD = "pictures"
FORM = "multipart/form-data"
_SEND = f"Send {FORM} with one file named {FIELD} per image (curl: -F {FIELD}=@cell.png)."
_MAX_BOUNDARY = 70  # characters, RFC 2046


def boundary_of(headers: HTTPHeaders) -> bytes:
    """Boundary between the parts of a body, from its headers.

    Raises a Problem: 415 if the body is not an uncompressed form with files, 400 without a valid boundary.
    """
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "The body is compressed. Send it uncompressed.", accept_encoding="identity")
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "application/octet-stream")
    if message.get_content_type() != FORM:
        raise Problem(415, f"The content type is not supported. {_SEND}", accept=FORM)
    boundary = message.get_boundary("")
    if not (0 < len(boundary) <= _MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise Problem(400, f"The header Content-Type has no valid boundary. {_SEND}")
    return boundary.encode("ascii")


def pictures_of(body: bytes, boundary: bytes, max_pictures: int) -> list[HTTPFile]:
    r"""The files named :data:`FIELD`, in the order of the request.

    Raises a Problem: 400 if the body is empty or malformed, or has other parts; 422 if there are too many files.

    Examples
    --------
    >>> part = b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\nGIF\r\n--x--\r\n'
    >>> [(file.filename, file.body) for file in pictures_of(part, b"x", max_pictures=1)]
    [('a', b'GIF')]
    """
    if not body:
        raise Problem(400, f"The body is empty. {_SEND}")
    # Counted in the same way as the parser splits them, but before it creates headers for each part.
    found = body.count(b"--" + boundary + b"\r\n")
    if found > max_pictures:
        raise Problem(422, f"The body has {found:,} parts. The limit is {max_pictures:,} images per request.")
    fields: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    # The parser counts the text before the first boundary as a part.
    limits = ParseMultipartConfig(max_parts=max_pictures + 1)
    try:
        parse_multipart_form_data(boundary, body, fields, files, config=limits)
    # The parser does not catch all errors of its parts, such as text that is not UTF-8.
    except (HTTPInputError, ValueError) as error:
        raise Problem(400, f"The body is malformed or incomplete. {_SEND}") from error
    if FIELD in fields:
        raise Problem(400, f"A part named {FIELD} is a text, not a file. {_SEND}")
    if FIELD not in files:
        raise Problem(400, f"The body has no file named {FIELD}. {_SEND}")
    if len(files) > 1 or fields:
        raise Problem(
            400, f"The body has parts not named {FIELD}. Other parameters belong in the query. {_SEND}"
        )
    return files[FIELD]
