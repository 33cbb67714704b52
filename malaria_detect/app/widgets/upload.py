"""Upload pictures: a button, a place to drop files, and limits that are told instead of silently kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.data.images import FORMATS, MAX_BYTES

# At once; voila.json lets through so many of MAX_BYTES in one message, and a test holds the two together.
MAX_PICTURES = 20


@dataclass(frozen=True)
class Upload:
    """One picture as it came: its name, only ever shown; the file's bytes; the published label where known."""

    name: str
    content: bytes | memoryview
    label: str | None = None


class CellUpload(Part):
    """A button and a drop area for pictures of cells.

    One message brings all the files that were chosen at once. They never become widget state, so that a saved notebook
    does not hold the visitor's pictures. Limits are checked in the browser, to save the way, and again here.

    Parameters
    ----------
    receive : callable
        Gets the uploads, in the order in which they were chosen. Returns nothing, or a sentence that says why it
        did not take them.

    Examples
    --------
    >>> upload = CellUpload(lambda uploads: print(*(one.name for one in uploads)))
    >>> upload.take([Upload("a.png", b"..."), Upload("b.png", b"...")])
    a.png b.png
    """

    _esm = script("upload.js")
    max_pictures = traitlets.Int(MAX_PICTURES).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)
    formats = traitlets.Unicode(", ".join(FORMATS).replace("WEBP", "WebP")).tag(sync=True)

    def __init__(self, receive: Callable[[Sequence[Upload]], str | None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._receive = receive
        self.on_msg(self._hear)

    def take(self, uploads: Sequence[Upload]) -> None:
        """Take what the visitor chose, or tell in the page why not.

        Parameters
        ----------
        uploads : sequence of Upload
            More than `MAX_PICTURES` are refused together; a file over `MAX_BYTES` is refused alone, by
            :func:`malaria_detect.data.images.read_image`.
        """
        if len(uploads) > MAX_PICTURES:
            refusal: str | None = f"{len(uploads)} pictures came at once; wanted are at most {MAX_PICTURES}."
        else:
            refusal = self._receive(uploads)
        self.send({"type": "refused", "message": refusal} if refusal else {"type": "taken"})

    def _hear(self, _widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """A message from the browser: ``{"type": "upload", "names": [...]}`` with one buffer a name."""
        if content.get("type") != "upload":
            return
        names = content.get("names")
        if not isinstance(names, list) or len(names) != len(buffers):
            self.send({"type": "refused", "message": "The upload came incomplete; try again."})
            return
        self.take([Upload(str(name), buffer) for name, buffer in zip(names, buffers, strict=True)])
