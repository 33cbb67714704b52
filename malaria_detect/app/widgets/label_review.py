"""Label review: candidate label errors, a page of cells at a time, and a verdict on each."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import traitlets
from PIL import Image, ImageOps

from malaria_detect.app.widgets.base import STYLE, Part, script
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import (
    AGREE,
    DISAGREE,
    LABEL_VERDICTS,
    UNSURE,
    WITHDRAWN,
    Correction,
    Corrections,
    LabelsError,
    append_corrections,
    read_corrections,
)
from malaria_detect.data.images import ImageRefused, as_png, read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.evaluation.label_issues import CandidateError
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.metrics.formatting import format_probability

PAGE_SIZE = 12
REVIEW_SIDE = 480  # px; a cell is shown at about 300 px, on screens with up to two physical pixels for one


class LabelReview(Part):
    """Review of candidate label errors.

    In blind mode, the default, the review shows only cells and asks what they show. Label, patient, file name and the
    model's probability appear after the answer, because reviewers who know them tend to follow them. Otherwise it shows
    everything and asks whether the label is right. The stored verdict is the same: agree, disagree or unsure about the
    published label.

    Every verdict is written to the corrections file at once, and the review continues where the file ends. Images,
    names and labels go to the browser as messages and never become widget state.

    Parameters
    ----------
    candidates : sequence of CandidateError
        In the order of review, such as from :func:`malaria_detect.evaluation.label_issues.mixed`. Those without an
        image among `cells` are left out.
    cells : sequence of Cell
    corrections : path
        The corrections file; verdicts on other cells stay in it.
    blind : bool
    page : int
        Cells per page, 1 or more.

    Raises
    ------
    MalariaDetectError
        If no candidate has an image, or the corrections file cannot be read or is about other labels. Its ``reason``
        is ``page_size``, ``no_images``, ``other_labels``, or that of the corrections file.

    Examples
    --------
    >>> from malaria_detect.data.nlm_cells import find_cells
    >>> from malaria_detect.evaluation.label_issues import mixed, candidates_from
    >>> review = LabelReview(mixed(candidates_from())[:300], find_cells().cells)  # doctest: +SKIP
    """

    _esm = script("grid.js", "review.js")
    # A text, because it combines two files.
    _css = "\n".join((STYLE / name).read_text(encoding="utf-8") for name in ("page.css", "review.css"))  # type: ignore[assignment]
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)
    blind = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self,
        candidates: Sequence[CandidateError],
        cells: Sequence[Cell],
        corrections: str | os.PathLike[str] = "corrections.csv",
        blind: bool = True,
        page: int = PAGE_SIZE,
        **kwargs: Any,
    ) -> None:
        if page < 1:
            raise LabelsError(f"A page cannot have {page} cells. Use 1 or more.", reason="page_size")
        self._images = {(cell.name, cell.label): cell.path for cell in cells}
        self.candidates = tuple(one for one in candidates if (one.file, one.label) in self._images)
        if not self.candidates:
            raise LabelsError(
                f"None of the {len(candidates)} candidates has an image among the {len(self._images)} cells. Use the "
                "folder of the cells that were ranked.",
                reason="no_images",
            )
        self.missing = len(candidates) - len(self.candidates)
        self.path = Path(corrections)
        self._size = page
        self._given: list[tuple[int, Correction | None]] = []
        self._problem = ""
        self._known = self._checked(read_corrections(self.path) if self.path.exists() else Corrections())
        self.page = next((at for at in range(len(self.candidates)) if self.verdict(at) is None), 0) // page
        super().__init__(blind=blind, **kwargs)
        self.on_msg(self._hear)
        self.observe(lambda _: self.show(self.page), names="blind")

    @property
    def pages(self) -> int:
        """Number of pages."""
        return -(-len(self.candidates) // self._size)

    def verdict(self, position: int) -> str | None:
        """Verdict on the candidate at this position (from 0), or None."""
        known = self._known.get(self.candidates[position].file)
        return known.verdict if known else None

    def judge(self, position: int, answer: str) -> None:
        """Store a verdict; a problem with the file is shown in the browser.

        Parameters
        ----------
        position : int
            In `candidates`, from 0.
        answer : str
            ``agree``, ``disagree`` or ``unsure`` about the published label, or the class that the cell shows.
        """
        candidate = self.candidates[position]
        if answer in CLASSES:
            answer = AGREE if answer == candidate.label else DISAGREE
        old, new = self._known.get(candidate.file), Correction(candidate.file, candidate.label, answer)
        if new != old and self._append(new):
            self._given.append((position, old))
        self._send_card(position)
        self._send_state()

    def undo(self) -> None:
        """Take back the last verdict of this session; an earlier verdict on the same cell counts again."""
        if not self._given:
            return
        position, before = self._given[-1]
        candidate = self.candidates[position]
        if self._append(before or Correction(candidate.file, candidate.label, WITHDRAWN)):
            self._given.pop()
        if position // self._size == self.page:
            self._send_card(position)
            self._send_state()
        else:
            self.show(position // self._size)

    def show(self, page: int) -> None:
        """Show a page, counted from 0."""
        self.page = min(max(page, 0), self.pages - 1)
        cards, images = [], []
        start = self.page * self._size
        for position in range(start, min(start + self._size, len(self.candidates))):
            candidate, refusal = self.candidates[position], ""
            try:
                images.append(_png(self._images[candidate.file, candidate.label]))
            except ImageRefused as error:
                refusal = str(error)
            cards.append(self._card(position) | {"refusal": refusal})
        self.send({"type": "page", "cards": cards, "page": self.page, "pages": self.pages}, buffers=images)
        self._send_state()

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        match content:
            case {"type": "hello"}:
                self.show(self.page)
            case {"type": "page", "page": int(page)}:
                self.show(page)
            case {"type": "verdict", "position": int(position), "answer": str(answer)}:
                if 0 <= position < len(self.candidates) and answer in (*LABEL_VERDICTS, *CLASSES):
                    self.judge(position, answer)
            case {"type": "undo"}:
                self.undo()

    def _checked(self, corrections: Corrections) -> dict[str, Correction]:
        known = corrections.by_file()
        for one in self.candidates:
            if one.file in known and known[one.file].label != one.label:
                raise LabelsError(
                    f"{self.path} is about other labels: {one.file} is {known[one.file].label} there, but {one.label} "
                    "among the candidates. Use another corrections file.",
                    reason="other_labels",
                )
        return known

    def _append(self, verdict: Correction) -> bool:
        try:
            self._known = self._checked(append_corrections(self.path, [verdict]))
        except MalariaDetectError as error:
            self._problem = f"Not saved. {error}"
            return False
        return True

    def _card(self, position: int) -> dict[str, Any]:
        """What the browser may know about a candidate: in blind mode only its position, until it has a verdict."""
        candidate = self.candidates[position]
        known = self._known.get(candidate.file)
        card: dict[str, Any] = {"position": position, "verdict": "", "shows": "", "facts": []}
        if known is not None:
            card |= {"verdict": known.verdict, "shows": known.corrected or UNSURE}
        if known is not None or not self.blind:
            card["facts"] = [
                ("Label", candidate.label),
                ("Model", f"{format_probability(candidate.believed)} for this label"),
                ("Patient", candidate.patient_group),
                ("File", candidate.file),
            ]
        return card

    def _send_card(self, position: int) -> None:
        self.send({"type": "card", "card": self._card(position)})

    def _send_state(self) -> None:
        """Send the sentence above the cards, and a problem that has just occurred."""
        times = Counter(self._known[one.file].verdict for one in self.candidates if one.file in self._known)
        verdicts = ", ".join(f"{verdict} {times[verdict]:,}" for verdict in LABEL_VERDICTS)
        sentence = f"{times.total():,} of {len(self.candidates):,} reviewed: {verdicts}."
        if self.missing:
            sentence += (
                f" {self.missing:,} candidates are left out because their images are not in the folder."
            )
        self.send(
            {
                "type": "state",
                "sentence": sentence,
                "saved": f"Every verdict is saved in {self.path} at once.",
                "done": times.total(),
                "total": len(self.candidates),
                "undo": bool(self._given),
                "problem": self._problem,
            }
        )
        self._problem = ""


def _png(path: Path) -> bytes:
    """The image as PNG with `REVIEW_SIDE` px on its longer side: browsers enlarge less smoothly."""
    shown = ImageOps.contain(read_image(path), (REVIEW_SIDE, REVIEW_SIDE), Image.Resampling.LANCZOS)
    return as_png(shown, REVIEW_SIDE)
