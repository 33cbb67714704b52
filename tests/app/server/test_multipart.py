from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request
from tornado.httputil import HTTPHeaders

from malaria_detect.app.server.multipart import boundary_of, pictures_of
from malaria_detect.app.server.problems import Problem

PIECES = st.sampled_from(
    [
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Disposition: form-data",
        b'; name="pictures"',
        b"; name*0*=utf-8''a; name*1=b; name*x*=",
        b"; filename*=utf-8''%ff",
        b"; filename*=bogus'x'y",
        b'; filename="a"',
        b"\xff\x00\n: ",
        b"x",
    ]
)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_files_come_out_as_they_went_in(files: list[bytes]) -> None:
    request = Request(
        "POST", "http://localhost/", files=[("pictures", ("cell.png", file)) for file in files]
    ).prepare()
    assert isinstance(request.body, bytes)
    boundary = boundary_of(HTTPHeaders({"Content-Type": str(request.headers["Content-Type"])}))
    assert [file.body for file in pictures_of(request.body, boundary, max_pictures=5)] == files


def status_of(read: Callable[[], object]) -> int:
    try:
        return 200 if read() else 0
    except Problem as problem:
        return problem.status_code


@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=20).map(b"".join))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    assert status_of(lambda: pictures_of(body, b"b", max_pictures=3)) in (200, 400, 422)


@given(
    st.one_of(
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
        st.text("=;*'\"%0 boundary-").map(lambda rest: "multipart/form-data; boundary" + rest),
    )
)
def test_any_header_has_a_boundary_or_is_refused(content_type: str) -> None:
    assert status_of(lambda: boundary_of(HTTPHeaders({"Content-Type": content_type}))) in (200, 400, 415)


def test_a_quoted_boundary_is_read() -> None:
    assert boundary_of(HTTPHeaders({"Content-Type": 'Multipart/Form-Data; boundary="a b"'})) == b"a b"


def test_many_small_parts_are_refused_before_they_are_read() -> None:
    with pytest.raises(Problem, match="422"):
        pictures_of(100_000 * b"--b\r\n" + b"--b--", b"b", max_pictures=20)
