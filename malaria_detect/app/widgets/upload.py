"""Upload of cell images: a button, a drop area, and limits that are stated."""

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
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


def renamed(file: UploadedFile, taken: Collection[str]) -> UploadedFile:
    """The file, under a name that is not taken.

    Examples
    --------
    >>> renamed(UploadedFile("cell.png", b""), {"cell.png"}).name
    'cell_2.png'
    """
    path = PurePath(file.name)
    others = (f"{path.stem}_{number}{path.suffix}" for number in itertools.count(2))
    return replace(
        file, name=next(name for name in itertools.chain([file.name], others) if name not in taken)
    )


class CellUpload(Part):
    """A button and a drop area for images of cells.

    All files chosen together come in one message. They never become widget state, so a saved notebook contains none of
    them. The browser checks the limits before sending, and they are checked again here.

    Parameters
    ----------
    receive : callable
        Gets the files in the order in which they were chosen. Returns None, or a sentence that says why it did not
        take them.
    most : int
        Number of files in one upload.

    Examples
    --------
    >>> upload = CellUpload(lambda files: print(*(file.name for file in files)))
    >>> upload.take([UploadedFile("a.png", b"..."), UploadedFile("b.png", b"...")])
    a.png b.png
    """

    _esm = script("drop.js", "upload.js")
    max_images = traitlets.Int(MAX_IMAGES).tag(sync=True)
    max_bytes = traitlets.Int(MAX_BYTES).tag(sync=True)
    max_total = traitlets.Int(MAX_IMAGES * MAX_BYTES).tag(sync=True)
    formats = traitlets.Unicode(", ".join(FORMATS).replace("WEBP", "WebP")).tag(sync=True)

    def __init__(
        self,
        receive: Callable[[Sequence[UploadedFile]], str | None],
        most: int = MAX_IMAGES,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_images=most, **kwargs)
        self._receive = receive
        self.on_msg(self._hear)

    def take(self, files: Sequence[UploadedFile]) -> None:
        """Hand on files, or say on the page why they are not taken.

        Parameters
        ----------
        files : sequence of UploadedFile
            More than `max_images`, or than `max_total` bytes, are refused together. A file over `MAX_BYTES` is refused
            alone, by :func:`malaria_detect.data.images.read_image`.
        """
        if len(files) > self.max_images:
            refusal: str | None = (
                f"{len(files)} images were sent; the limit is {self.max_images}. Upload fewer at a time."
            )
        elif sum(len(file.content) for file in files) > self.max_total:
            refusal = f"The images are over {self.max_total >> 20} MB together. Upload fewer at a time."
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
