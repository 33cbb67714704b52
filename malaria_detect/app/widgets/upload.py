"""Upload of cell images: a button, a drop area, and limits that are stated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.data.images import FORMATS, MAX_BYTES

# In one upload. The websocket limit in voila.json allows this number of files of MAX_BYTES; a test compares the two.
MAX_IMAGES = 20


@dataclass(frozen=True)
class UploadedFile:
    """A file as it was uploaded: name (only shown), content, and the published label if known."""

    name: str
    content: bytes | memoryview
    label: str | None = None


class CellUpload(Part):
    """A button and a drop area for images of cells.

    All files chosen together come in one message. They never become widget state, so a saved notebook contains none of
    them. The browser checks the limits before sending, and they are checked again here.

    Parameters
    ----------
    receive : callable
        Gets the files in the order in which they were chosen. Returns None, or a sentence that says why it did not
        take them.

    Examples
    --------
    >>> upload = CellUpload(lambda files: print(*(file.name for file in files)))
    >>> upload.take([UploadedFile("a.png", b"..."), UploadedFile("b.png", b"...")])
    a.png b.png
    """

    _esm = script("drop.js", "upload.js")
    max_images = traitlets.Int(MAX_IMAGES).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)
    formats = traitlets.Unicode(", ".join(FORMATS).replace("WEBP", "WebP")).tag(sync=True)

    def __init__(self, receive: Callable[[Sequence[UploadedFile]], str | None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._receive = receive
        self.on_msg(self._hear)

    def take(self, files: Sequence[UploadedFile]) -> None:
        """Hand on files, or say on the page why they are not taken.

        Parameters
        ----------
        files : sequence of UploadedFile
            More than `MAX_IMAGES` are refused together. A file over `MAX_BYTES` is refused alone, by
            :func:`malaria_detect.data.images.read_image`.
        """
        if len(files) > MAX_IMAGES:
            refusal: str | None = (
                f"{len(files)} images were sent; the limit is {MAX_IMAGES}. Upload fewer at a time."
            )
        else:
            refusal = self._receive(files)
        self.send({"type": "refused", "message": refusal} if refusal else {"type": "taken"})

    def _hear(self, _widget: object, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """Take a message of the browser: ``{"type": "upload", "names": [...]}`` with one buffer per name."""
        if content.get("type") != "upload":
            return
        names = content.get("names")
        if not isinstance(names, list) or len(names) != len(buffers):
            self.send({"type": "refused", "message": "The upload was incomplete. Try again."})
            return
        self.take([UploadedFile(str(name), buffer) for name, buffer in zip(names, buffers, strict=True)])
