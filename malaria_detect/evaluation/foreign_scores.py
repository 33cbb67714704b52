"""How many pictures of each kind are refused: red cells, and what is none, near and far."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import read_record
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.picture_files import pictures_in
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.cut_outs import CutOut
from malaria_detect.fields.slide import share_of
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Refusal
from malaria_detect.metrics import Estimate
from malaria_detect.training.made_pictures import FAR, NEAR, UNSEEN, made_picture
from malaria_detect.training.screen import folder_name, thirds_of

FOREIGN = "foreign.json"
RED, NEAR_GROUP, FAR_GROUP = GROUPS = ("red cells", "near", "far")
_NEVER = "a kind to which the screen was not fitted"


@dataclass(frozen=True)
class ForeignScore:
    """What became of pictures of one kind, or of one group of kinds.

    Attributes
    ----------
    name : str
    group : str
        ``red cells``, ``near`` (other things on a smear) or ``far``.
    basis : str
        Which pictures were scored, for readers; empty for a group.
    refused, site_warned, ordinary : Estimate
        Shares of the pictures, with Wilson's 95 % intervals.
    reasons : dict of str to int
        Number of refusals by their code.
    """

    name: str
    group: str
    basis: str
    refused: Estimate
    site_warned: Estimate
    ordinary: Estimate
    reasons: dict[str, int]


@dataclass(frozen=True)
class ForeignScores:
    """Content of ``foreign.json``: scores of each kind and, together, of each group."""

    command: str
    model_sha256: str
    references_sha256: str | None
    kinds: tuple[ForeignScore, ...]
    groups: tuple[ForeignScore, ...]


def read_foreign_scores(path: Path) -> ForeignScores:
    """Scores that `malaria-detect evaluate --foreign` wrote; a MalariaDetectError if the file is damaged."""
    return read_record(
        ForeignScores, path, MalariaDetectError, "`malaria-detect evaluate --foreign` writes it."
    )


def score_foreign(
    detector: Detector, folders: Sequence[Path], cut_outs: Sequence[CutOut], command: str, each: int = 50
) -> ForeignScores:
    """Scores of a detector on folders of pictures, and on `each` made pictures of every kind.

    A folder is a kind. One that is named like a class holds red cells, one that is named like a made kind that is far,
    such as ``photographs``, is far, and others are near. If the detector was fitted to pictures of a folder of this
    name, only the third that it has not seen is scored. Made pictures differ from those that it was fitted to, and some
    kinds were not fitted; without cut-outs, none are made.
    """
    draw = np.random.default_rng(100)
    made = {RED_CELL: RED} | dict.fromkeys(NEAR, NEAR_GROUP) | dict.fromkeys([*FAR, *UNSEEN], FAR_GROUP)
    sources: list[tuple[str, str, str, Iterable[Path | Image.Image]]] = [
        (
            f"made: {kind}",
            group,
            _NEVER if kind in UNSEEN else "other pictures of a kind to which the screen was fitted",
            [made_picture(kind, draw, cut_outs) for _ in range(each)],
        )
        for kind, group in made.items()
        if cut_outs
    ]
    for folder in folders:
        name = folder_name(folder)
        seen = name in detector.metadata.screened
        paths = thirds_of(folder)[0] if seen else pictures_in(folder).paths
        basis = "the third of a folder to which the screen was not fitted" if seen else _NEVER
        sources.append((name, _group(folder), basis, paths))
    outcomes = [
        (name, group, basis, list(_outcomes(detector, tqdm(pictures, name))))
        for name, group, basis, pictures in sources
    ]
    return ForeignScores(
        command,
        detector.metadata.sha256,
        detector.metadata.references_sha256,
        tuple(_score(*row) for row in outcomes if row[-1]),
        tuple(
            _score(group, group, "", together)
            for group in GROUPS
            if (together := [one for _, of, _, found in outcomes if of == group for one in found])
        ),
    )


def _group(folder: Path) -> str:
    if folder.name in CLASSES:
        return RED
    return FAR_GROUP if folder.name.rstrip("s") in {*FAR, *UNSEEN} else NEAR_GROUP


def _outcomes(detector: Detector, pictures: Iterable[Path | Image.Image]) -> Iterator[str]:
    """For each picture the code of its refusal, or ``site`` or nothing."""
    for answer in detector.predict_many(pictures):
        yield answer.reason if isinstance(answer, Refusal) else "site" * answer.site_warning


def _score(name: str, group: str, basis: str, outcomes: Sequence[str]) -> ForeignScore:
    reasons = Counter(outcomes)
    site, ordinary = reasons.pop("site", 0), reasons.pop("", 0)
    refused, site_warned, rest = (
        share_of(number, len(outcomes)) for number in (reasons.total(), site, ordinary)
    )
    return ForeignScore(name, group, basis, refused, site_warned, rest, dict(reasons))
