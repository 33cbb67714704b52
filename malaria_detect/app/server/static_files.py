"""Scripts of Voila and of the widgets: sent compressed, and cached by browsers."""

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.utils import url_path_join
from tornado.web import StaticFileHandler
from voila.static_file_handler import MultiStaticFileHandler

from malaria_detect.app.server.telemetry import OneLineErrors

# Ends the name under which tornado asks for the compressed form of a file; no path contains it.
_GZIP = "\0gzip"
_YEAR = 31_536_000  # s
_TEXT = re.compile(r"text/.*|application/(javascript|json)|image/svg\+xml")
_REFUSED = re.compile(r"q=0(\.0*)?")


class _CachedFiles(OneLineErrors, StaticFileHandler):
    """Files that are compressed once, and that browsers keep if the address contains the setting ``files_version``.

    Only files of installed packages are compressed. What a visitor sends or sees is not, so that the length of an
    answer says nothing about it.
    """

    quiet = True

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Path of the file, marked if its compressed form is sent."""
        path, headers = super().validate_absolute_path(root, absolute_path), self.request.headers
        if path and "Range" not in headers and self._is_text():
            return path + _GZIP * _accepts_gzip(headers.get("Accept-Encoding", ""))
        return path

    @classmethod
    def get_content(
        cls, abspath: str, start: int | None = None, end: int | None = None
    ) -> Generator[bytes, None, None]:
        """The file, or its compressed form."""
        if abspath.endswith(_GZIP):
            yield _compressed(abspath)
        else:
            yield from super().get_content(abspath, start, end)

    def get_content_size(self) -> int:
        """Number of bytes that are sent."""
        whole = str(self.absolute_path)
        return len(_compressed(whole)) if whole.endswith(_GZIP) else super().get_content_size()

    def get_modified_time(self) -> datetime:
        """Time of the last change of the file itself."""
        path = Path(str(self.absolute_path).removesuffix(_GZIP))
        return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)

    def get_content_type(self) -> str:
        """Content type of the file itself."""
        return mimetypes.guess_type(self.path)[0] or "application/octet-stream"

    def compute_etag(self) -> str | None:
        """Hash of the bytes that are sent; Jupyter's handler has none."""
        return StaticFileHandler.compute_etag(self)

    def set_headers(self) -> None:
        """Set the headers for caches."""
        super().set_headers()
        is_versioned = f"/{self.settings['files_version']}/" in self.request.path
        self.clear_header("Expires")
        self.set_header(
            "Cache-Control", f"public, max-age={_YEAR}, immutable" if is_versioned else "no-cache"
        )
        if self._is_text():
            self.set_header("Vary", "Accept-Encoding")
        if str(self.absolute_path).endswith(_GZIP):
            self.set_header("Content-Encoding", "gzip")

    def _is_text(self) -> bool:
        return _TEXT.fullmatch(self.get_content_type()) is not None


class Scripts(_CachedFiles, MultiStaticFileHandler):
    """Serves Voila's scripts."""

    route = "/voila/static"


class Extensions(_CachedFiles, FileFindHandler):
    """Serves the widgets' scripts."""

    route = "/voila/labextensions"


# More files than a page loads; all of Voila's take about 3 MB compressed.
@lru_cache(maxsize=512)
def _compressed(marked_path: str) -> bytes:
    # Without a time, so that all servers send the same bytes.
    return gzip.compress(Path(marked_path.removesuffix(_GZIP)).read_bytes(), mtime=0)


def _accepts_gzip(header: str) -> bool:
    for item in header.lower().replace(" ", "").split(","):
        coding, _, weight = item.partition(";")
        if coding == "gzip":
            return not _REFUSED.fullmatch(weight)
    return False


def files_version(folders: Iterable[str]) -> str:
    """Version of all files in some folders, which changes when a package is installed or updated."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            state = path.lstat()
            found.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()[:16]


def with_version(page_config: dict[str, Any], version: str) -> dict[str, Any]:
    """The configuration of a page that loads its scripts from addresses with a version."""
    names = ("fullStaticUrl", "fullLabextensionsUrl")
    return page_config | {name: url_path_join(page_config[name], version) for name in names}
