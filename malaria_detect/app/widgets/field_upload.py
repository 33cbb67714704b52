"""Upload of photographs of fields: large files, sent in parts that the kernel asks for."""

from collections.abc import Callable
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.images import FORMATS

MAX_FIELDS = 40  # of a slide
MAX_FIELD_BYTES = 40 * 1024 * 1024
PART_BYTES = 1024 * 1024


class FieldUpload(Part):
    """A button and a drop area for photographs of fields.

    A photograph is too large for one message. So the browser offers its files, and the kernel asks for one part after
    the other: ``want``, with a file and an offset. Whatever the browser sends, the answer is what the kernel wants
    next; a part that is lost, doubled or out of order only costs another question. A file is asked for when there is
    room for it, so that no more than a few are in memory. They never become widget state and are never written to
    disk.

    Parameters
    ----------
    receive : callable
        Gets one complete file.
    room : callable
        Number of further files that the slide can take.
    ready : callable
        Whether the next file can be received now; call `go_on` when that changes.
    changed : callable
        Called when `offered` changes without a complete file.
    """

    _esm = script("drop.js", "field_upload.js")
    max_files = traitlets.Int(MAX_FIELDS).tag(sync=True)
    max_bytes = traitlets.Int(MAX_FIELD_BYTES).tag(sync=True)
    part_bytes = traitlets.Int(PART_BYTES).tag(sync=True)
    formats = traitlets.Unicode(", ".join(FORMATS).replace("WEBP", "WebP")).tag(sync=True)

    def __init__(
        self,
        receive: Callable[[UploadedFile], None],
        room: Callable[[], int] = lambda: MAX_FIELDS,
        ready: Callable[[], bool] = lambda: True,
        changed: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._receive, self._room, self._ready, self._changed = receive, room, ready, changed
        # Name and size by the browser's id, in the order of upload.
        self._offered: dict[str, tuple[str, int]] = {}
        self._content = bytearray()
        self.on_msg(self._hear)

    @property
    def offered(self) -> int:
        """Number of files that have not arrived completely."""
        return len(self._offered)

    @property
    def _wanted(self) -> str | None:
        """The browser's id of the file to receive now."""
        if self._offered and (self._content or self._ready()):
            return next(iter(self._offered))
        return None

    def go_on(self) -> None:
        """Ask for the next part, or say that there is none to send now."""
        self.send(
            {"type": "want", "file": self._wanted, "at": len(self._content), "left": list(self._offered)}
        )

    def stop(self) -> None:
        """Forget the files that have not arrived completely."""
        self._offered.clear()
        self._content.clear()
        self.go_on()

    def _hear(self, _widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        match content:
            case {"type": "offer", "files": [*files]}:
                self._offer(files)
            case {"type": "part", "file": str(file), "at": int(at)} if len(buffers) == 1:
                self._take_part(file, at, buffers[0])
            case {"type": "skip", "file": str(file)} if file in self._offered:
                if file == next(iter(self._offered)):
                    self._content.clear()
                del self._offered[file]
                self._changed()
        if content.get("type") in ("offer", "part", "skip", "hello"):
            self.go_on()

    def _offer(self, files: list[Any]) -> None:
        new = {}
        for file in files:
            match file:
                case {"id": str(key), "name": str(name), "size": int(size)} if 0 <= size <= MAX_FIELD_BYTES:
                    new[key] = (name, size)
        room = self._room() - len(self._offered)
        if len(new) < len(files):
            refusal = f"A photograph can have at most {MAX_FIELD_BYTES >> 20} MB. Nothing was uploaded."
        elif len(new.keys() - self._offered.keys()) > room:
            refusal = (
                f"A slide can have at most {MAX_FIELDS} fields, and there is room for {room} more. Nothing was "
                "uploaded. Choose fewer photographs."
            )
        else:
            self._offered |= new
            self._changed()
            return
        self.send({"type": "refused", "message": refusal, "files": list(new)})

    def _take_part(self, file: str, at: int, part: memoryview) -> None:
        if file != self._wanted or at != len(self._content):
            return
        name, size = self._offered[file]
        if len(part) > PART_BYTES or at + len(part) > size:
            return
        self._content += part
        if len(self._content) == size:
            del self._offered[file]
            whole, self._content = bytes(self._content), bytearray()
            self._receive(UploadedFile(name, whole))
