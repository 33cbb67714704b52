"""The pictures in the body of a request."""

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
_WANTED = (
    f"wanted is {FORM} with one part named {FIELD}, a file, for each picture (curl: -F {FIELD}=@cell.png)"
)
_MAX_BOUNDARY = 70  # characters, RFC 2046


def boundary_of(headers: HTTPHeaders) -> bytes:
    """What stands between the parts of a body, according to its headers.

    Raises
    ------
    Problem
        415 where the body is no plain form with files, 400 where its boundary is not told.
    """
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "The body is compressed; wanted is a plain one.", accept_encoding="identity")
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "application/octet-stream")
    if message.get_content_type() != FORM:
        raise Problem(415, f"The body is of another type; {_WANTED}.", accept=FORM)
    boundary = message.get_boundary("")
    if not (0 < len(boundary) <= _MAX_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise Problem(400, f"The header Content-Type tells no proper boundary; {_WANTED}.")
    return boundary.encode("ascii")


def pictures_of(body: bytes, boundary: bytes, max_pictures: int) -> list[HTTPFile]:
    r"""The files named :data:`FIELD`, in their order.

    Parameters
    ----------
    body : bytes
    boundary : bytes
        From :func:`boundary_of`.
    max_pictures : int

    Raises
    ------
    Problem
        400 where the body is empty or broken, or holds other parts; 422 where there are too many.

    Examples
    --------
    >>> part = b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a"\r\n\r\nGIF\r\n--x--\r\n'
    >>> [(file.filename, file.body) for file in pictures_of(part, b"x", max_pictures=1)]
    [('a', b'GIF')]
    """
    if not body:
        raise Problem(400, f"The body is empty; {_WANTED}.")
    # Counted as the parser splits them, and before it makes headers of each.
    found = body.count(b"--" + boundary + b"\r\n")
    if found > max_pictures:
        raise Problem(422, f"The body has {found:,} parts; wanted are at most {max_pictures:,} pictures.")
    fields: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    # What stands before the first boundary counts as a part.
    limits = ParseMultipartConfig(max_parts=max_pictures + 1)
    try:
        parse_multipart_form_data(boundary, body, fields, files, config=limits)
    # The parser lets out what its parts do not foresee, as text that is not UTF-8.
    except (HTTPInputError, ValueError) as error:
        raise Problem(400, f"The body is damaged or cut off; {_WANTED}.") from error
    if FIELD in fields:
        raise Problem(400, f"A part named {FIELD} is a text and not a file; {_WANTED}.")
    if FIELD not in files:
        raise Problem(400, f"The body has no part named {FIELD}; {_WANTED}.")
    if len(files) > 1 or fields:
        raise Problem(
            400,
            f"The body has parts that are not named {FIELD}; other things are told in the query; {_WANTED}.",
        )
    return files[FIELD]
