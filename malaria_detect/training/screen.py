"""The references of a model, and what it refuses as foreign: fitted to its own cells and to pictures made for it."""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torchvision.transforms.functional import to_pil_image
from tqdm.auto import tqdm

from malaria_detect.core.atomic import replaced
from malaria_detect.core.json_io import to_json
from malaria_detect.data.cell_names import group_in_name
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.data.picture_files import pictures_in
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.cut_outs import cut_outs_of
from malaria_detect.inference.classifier import Classifier, Seen
from malaria_detect.inference.foreign import Screen, distances, normalised
from malaria_detect.inference.held_out import seen_of
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import (
    metadata_path,
    read_metadata,
    read_model,
    references_path,
    sha256_of,
)
from malaria_detect.inference.references import (
    TRAINING,
    VALIDATION,
    References,
    write_references,
)
from malaria_detect.inference.runtime import open_classifier
from malaria_detect.training.made_pictures import FAR, NEAR, made_picture
from malaria_detect.training.randomized_cells import randomized
from malaria_detect.training.recalibrate import refuse_adapted

# References of each part: more make neither foreign images nor a new site clearer, only the file larger.
_REFERENCES = 1500
# Made pictures of each kind, and of red cells, for so many training cells among the references.
_CELLS_PER_PICTURE, _CELLS_PER_RED_CELL = 10, 2
# At most these shares are refused as foreign: of the model's own validation cells, of the red cells of each folder, and
# of made red cells, which are wilder than those of any laboratory.
_HOME_REFUSED, _ELSEWHERE_REFUSED, _MADE_REFUSED = 0.005, 0.02, 0.03
# This share of the fitted foreign pictures looks no more foreign than a cell may that is near to taught ones.
_TOLERATED = 0.1
# Of the model's own validation cells, this share is taken for cells of another site.
_HOME_WARNED = 0.01
# Small, because there are fewer pictures than features.
_REGULARISATION = 0.1
# Px: side of cells before they get a random look; and how many get theirs at once, as neighbours of each other.
_SIDE, _BATCH = 160, 50


@dataclass(frozen=True)
class FurtherPictures:
    """Folders of red cells, and of other things, in addition to the pictures that the software makes."""

    red_cells: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()

    @property
    def fitted(self) -> dict[str, int]:
        """Number of pictures of each folder to which a screen is fitted, or by which its limit is chosen."""
        folders = (*self.red_cells, *self.foreign)
        return {folder_name(one): sum(map(len, thirds_of(one)[1:])) for one in folders}


def folder_name(folder: Path) -> str:
    """Name of a folder with those of the two folders around it."""
    return "/".join(folder.absolute().parts[-3:])


def thirds_of(folder: Path) -> tuple[list[Path], ...]:
    """Pictures of a folder in three parts: for scoring, to fit, and to choose a limit.

    No field is in two parts if names tell the field, such as ``FIELD__12.png``. Parts two and three are those of
    :func:`malaria_detect.training.borrowed.borrowed_fields`.
    """
    field_of = {path: group_in_name(path.name) or path.name for path in pictures_in(folder).paths}
    fields = sorted(set(field_of.values()))
    return tuple([path for path, field in field_of.items() if field in fields[part::3]] for part in range(3))


def references_of(
    classifier: Classifier,
    transform: InputTransform,
    parts: tuple[Sequence[Cell], Sequence[Cell]],
    further: FurtherPictures | None = None,
    progress: bool = True,
) -> References | None:
    """References with a screen, always the same for the same cells.

    `parts` are the training and the validation cells, of which some are chosen at random. None for a network in which
    :meth:`malaria_detect.inference.classifier.Classifier.see` sees no features.
    """
    draw, further = random.Random(0), further or FurtherPictures()
    cells = [draw.sample(part, min(len(part), _REFERENCES)) for part in parts]

    def seen(text: str, pictures: Iterable[Image.Image]) -> Seen | None:
        return seen_of(classifier, transform, tqdm(pictures, text, unit="picture", disable=not progress))

    training, validation = (
        seen(text, map(_picture_of, some))
        for text, some in zip(("training", "validation"), cells, strict=True)
    )
    if not (training and validation):
        return None
    number = max(4, len(cells[0]) // _CELLS_PER_RED_CELL)
    kinds: list[tuple[float, Iterable[Image.Image], Iterable[Image.Image]]] = [
        (_MADE_REFUSED, make(cells[0], number), make(cells[1], number))
        for make in (_made_red_cells, _random_looks)
    ]
    for folder in further.red_cells:
        _, to_fit, to_limit = map(_pictures, thirds_of(folder))
        kinds.append((_ELSEWHERE_REFUSED, to_fit, to_limit))
    red: list[Seen] = []
    limiting: list[tuple[float, Seen]] = []
    for share, first, second in kinds:
        fitted, held_out = seen("red cells", first), seen("other red cells", second)
        if fitted and held_out:
            red.append(fitted)
            limiting.append((share, held_out))
    foreign = seen("foreign pictures", _foreign(cells[0], further.foreign))
    if foreign is None:
        return None
    chosen = [*cells[0], *cells[1]]
    return References(
        features=np.concatenate([training.features, validation.features]),
        parasitized=np.array([cell.label == CLASSES[0] for cell in chosen]),
        files=tuple(cell.name for cell in chosen),
        groups=tuple(cell.group for cell in chosen),
        part=(TRAINING,) * len(cells[0]) + (VALIDATION,) * len(cells[1]),
        screen=fit_screen(training, validation, red, limiting, foreign),
    )


def renew_references(
    model_path: Path, cells: Sequence[Cell], further: FurtherPictures | None = None, progress: bool = True
) -> ModelMetadata:
    """Write the references of an existing model again, from cells of the patients of its own split.

    Raises
    ------
    MetadataError
        If the model cannot be opened; with the reason ``adapted`` if it was adapted, and ``no_references`` if it has no
        pooled features, or if there are no cells of its training or of its validation patients.
    """
    metadata, data = read_model(model_path)
    refuse_adapted(model_path, metadata)
    parts = tuple(
        [cell for cell in cells if cell.group in set(side.groups)]
        for side in (metadata.train, metadata.valid)
    )
    references = None
    if all(parts):
        classifier = open_classifier(model_path, metadata, data)
        metadata = read_metadata(model_path)  # which names the runtime form if it was made now
        sides = parts[0], parts[1]
        references = references_of(classifier, metadata.input_transform, sides, further, progress)
    if references is None:
        raise MetadataError(
            f"{model_path} can have no references: they need cells of its training and validation patients, and a "
            "network with pooled features, such as resnet34.",
            reason="no_references",
        )
    with replaced(metadata_path(model_path)) as described, replaced(references_path(model_path)) as file:
        write_references(references, file)
        screened = further.fitted if further else {}
        metadata = replace(metadata, references_sha256=sha256_of(file), screened=screened)
        described.write_text(to_json(metadata), encoding="utf-8")
    return metadata


def fit_screen(
    training: Seen,
    validation: Seen,
    red: Sequence[Seen],
    limiting: Sequence[tuple[float, Seen]],
    foreign: Seen,
) -> Screen:
    """Fit a screen to cells and to pictures of other things.

    Parameters
    ----------
    training, validation : Seen
        The model's own cells: training cells are fitted, validation cells choose the limits.
    red : sequence of Seen
        Other red cells that are fitted, such as those of other stains and cameras.
    limiting : sequence of (float, Seen)
        Red cells that choose the limit, kind by kind, and the share of them that may be refused.
    foreign : Seen
        Pictures that are to be refused.
    """
    home, held_out, outside = (np.sqrt(one.layers) for one in (training, validation, foreign))
    fitted = np.concatenate([home, *(np.sqrt(one.layers) for one in red), outside])
    scaler = StandardScaler().fit(fitted)
    regression = LogisticRegression(C=_REGULARISATION, class_weight="balanced", max_iter=1000)
    regression.fit(scaler.transform(fitted), np.arange(len(fitted)) >= len(fitted) - len(outside))
    weights = (regression.coef_[0] / scaler.scale_).astype(np.float32)
    weights /= (held_out @ weights).std()
    limit = max(
        np.quantile(held_out @ weights, 1 - _HOME_REFUSED),
        *(np.quantile(np.sqrt(one.layers) @ weights, 1 - share) for share, one in limiting),
    )
    beyond = np.quantile(outside @ weights, _TOLERATED) - limit
    away = distances(normalised(validation.features), normalised(training.features))
    distance = float(np.quantile(away, 1 - _HOME_WARNED))
    return Screen(weights, -float(limit), distance, max(0.0, float(beyond)))


def _picture_of(cell: Cell) -> Image.Image:
    return read_image(cell.path)


def _made_red_cells(cells: Sequence[Cell], number: int) -> Iterator[Image.Image]:
    draw, cut_outs = np.random.default_rng(1), cut_outs_of(cells, seed=1)
    for _ in range(number):
        yield made_picture(RED_CELL, draw, cut_outs)


def _random_looks(cells: Sequence[Cell], number: int) -> Iterator[Image.Image]:
    """Cells as other laboratories would show them, cut out or with their neighbours."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for start in range(0, min(number, len(cells)), _BATCH):
            some = cells[start : min(start + _BATCH, number)]
            padded = np.stack([pad_to_square(_picture_of(cell), _SIDE) for cell in some])
            share = torch.tensor([float(cell.label == CLASSES[0]) for cell in some])
            # Those that are treated as cells of others get large parasites, too.
            others = (share == 0) & (torch.rand(len(some)) < 0.5)
            looks, _ = randomized(torch.from_numpy(padded).permute(0, 3, 1, 2), share, others, _SIDE)
            yield from map(to_pil_image, looks)


def _foreign(cells: Sequence[Cell], folders: Sequence[Path]) -> Iterator[Image.Image]:
    draw, cut_outs = np.random.default_rng(2), cut_outs_of(cells, seed=2)
    for kind in (*NEAR, *FAR):
        for _ in range(max(2, len(cells) // _CELLS_PER_PICTURE)):
            yield made_picture(kind, draw, cut_outs)
    for folder in folders:
        _, *fitted = thirds_of(folder)
        yield from _pictures(itertools.chain(*fitted))


def _pictures(paths: Iterable[Path]) -> Iterator[Image.Image]:
    """Pictures in files; what is refused anyway need not be learnt."""
    for path in paths:
        try:
            yield read_image(path)
        except ImageRefused:
            continue
