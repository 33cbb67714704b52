"""The files of an adapted model: what opens them, what they say of their parent, and what stays unchanged."""

from copy import copy as copy_of
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import numpy as np
import pytest
from fastai.learner import load_learner

from malaria_detect.core.json_io import to_json
from malaria_detect.data.images import read_image
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.inference.adapt import Adaptation, AdaptError, SiteCells
from malaria_detect.inference.adapted import adapted_learner, adapted_metadata
from malaria_detect.inference.detector import load_detector
from malaria_detect.inference.graph import Graph
from malaria_detect.inference.judge import Judgement, judge
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import graph_path, read_metadata
from malaria_detect.inference.references import TAUGHT, read_references
from malaria_detect.inference.write_adapted import site_cells, usable_cells, write_adapted
from malaria_detect.training.recalibrate import recalibrate
from malaria_detect.training.screen import renew_references
from tests.parents import write_parent
from tests.refused import refused


class Adapted(NamedTuple):
    """A model, its adaptation to drawn cells, and the model that was written."""

    parent: Path
    adaptation: Adaptation
    pictures: list[Cell]
    cells: SiteCells
    judgement: Judgement
    model: Path
    metadata: ModelMetadata


@pytest.fixture(scope="module")
def adapted(shipped_model: Path, laboratory: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    folder = tmp_path_factory.mktemp("adapted")
    parent, model = folder / "parent.pkl", folder / "mylab.pkl"
    write_parent(shipped_model, parent)
    detector = load_detector(parent)
    classifier, metadata = detector.classifier, detector.metadata
    assert classifier is not None
    adaptation = Adaptation(classifier.head, metadata, read_references(parent, metadata))
    pictures, _ = usable_cells(labelled_cells(find_cells(laboratory)))
    cells = site_cells(adaptation, classifier, pictures, progress=False)
    judgement = judge(adaptation, cells)
    written = write_adapted(parent, adaptation, cells, judgement, model)
    return Adapted(parent, adaptation, pictures, cells, judgement, model, written)


def test_a_model_whose_last_layer_shares_a_weight_is_not_adapted(adapted: Adapted) -> None:
    graph = Graph.read(graph_path(adapted.parent).read_bytes())
    shared = {**graph.weights, "another": graph.weights[f"{graph.head[2]}.bias"]}
    with refused(AdaptError, "same_weights"):
        adapted_learner(adapted.parent.read_bytes(), replace(graph, weights=shared), adapted.judgement.change)


def test_an_adapted_model_gives_the_fitted_answers_and_opens_with_plain_fastai(adapted: Adapted) -> None:
    paths = [cell.path for cell in adapted.pictures[::12]]
    expected = adapted.adaptation.log_odds(adapted.cells.features[::12], adapted.judgement.change)
    detector = load_detector(adapted.model)
    found = [answer.raw_probability_parasitized for answer in map(detector.predict, paths)]
    assert np.allclose(found, 1 / (1 + np.exp(-expected)), atol=0.01)
    with pytest.warns(UserWarning, match="pickle"):
        learner = load_learner(adapted.model)
    assert list(learner.dls.vocab) == list(CLASSES)
    with learner.no_bar(), learner.no_logging():
        for path, probability in zip(paths, found, strict=True):
            _, _, both = learner.predict(np.asarray(read_image(path)))
            assert float(both[0]) == pytest.approx(probability, abs=0.01)


def test_the_metadata_names_the_parent_and_scores_the_cells_of_the_laboratory(adapted: Adapted) -> None:
    metadata, parent = read_metadata(adapted.model), read_metadata(adapted.parent)
    assert to_json(metadata) == to_json(adapted.metadata)
    assert metadata.parent is not None
    assert (metadata.parent.file_name, metadata.parent.sha256) == ("parent.pkl", parent.sha256)
    assert (metadata.parent.parasitized, metadata.parent.uninfected, metadata.parent.groups) == (24, 24, 12)
    assert f"48 cells (24 parasitized) from parent.pkl {parent.sha256[:6]}" in str(metadata.parent)
    assert metadata.test.groups == tuple(sorted({cell.group for cell in adapted.pictures}))
    for point in metadata.operating_points:
        assert point.test.cells == 48
        assert point.validation.cells == len(adapted.adaptation.home.files)
    assert metadata.train == parent.train
    with refused(MetadataError, "adapted"):
        recalibrate(adapted.model)
    with refused(MetadataError, "adapted"):
        renew_references(adapted.model, ())


def test_cells_of_the_laboratory_become_references(adapted: Adapted) -> None:
    before, after = (read_references(path) for path in (adapted.parent, adapted.model))
    assert before is not None
    assert after is not None
    assert len(after.files) == len(before.files) + 48
    assert after.files[-48:] == adapted.cells.files
    assert set(after.part[-48:]) == {TAUGHT}
    assert before.screen is not None
    assert after.screen is not None
    assert after.screen.distance == before.screen.distance


def test_a_parent_that_was_replaced_since_is_not_adapted(adapted: Adapted, tmp_path: Path) -> None:
    words = adapted.adaptation, adapted.cells, adapted.judgement
    with refused(MetadataError, "replaced"):
        write_adapted(adapted.model, *words, tmp_path / "new.pkl")
    assert list(tmp_path.iterdir()) == []


def test_what_a_parent_expects_of_laboratories_is_not_inherited(adapted: Adapted) -> None:
    parent = copy_of(adapted.adaptation)
    parent.metadata = replace(parent.metadata, expectations={"elsewhere": "Much."})
    assert adapted_metadata(parent, adapted.cells, adapted.judgement).expectations == {}


def test_the_parent_is_not_overwritten_and_a_failure_leaves_an_old_model(
    adapted: Adapted, tmp_path: Path
) -> None:
    words = adapted.adaptation, adapted.cells, adapted.judgement
    with refused(AdaptError, "output"):
        write_adapted(adapted.parent, *words, adapted.parent)
    old = Path(copy(adapted.model, tmp_path / "mylab.pkl"))
    (tmp_path / "mylab.npz").mkdir()
    with pytest.raises(Exception, match=r"mylab\.npz"):
        write_adapted(adapted.parent, *words, old)
    assert old.read_bytes() == adapted.model.read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["mylab.npz", "mylab.pkl"]


def test_copies_of_a_cell_count_once(laboratory: Path, tmp_path: Path) -> None:
    for number, cell in enumerate(find_cells(laboratory).cells[::4]):
        for place in (f"F1__{number}", f"F2__{number}"):
            target = tmp_path / cell.label / f"{place}{cell.path.suffix}"
            target.parent.mkdir(exist_ok=True)
            copy(cell.path, target)
    kept, sentences = usable_cells(labelled_cells(find_cells(tmp_path, patients=False)))
    assert len(kept) == 12
    assert any("12" in sentence for sentence in sentences)


def test_the_field_of_a_cell_is_read_from_its_name(laboratory: Path, tmp_path: Path) -> None:
    names = ("F1__1.png", "F1_cell_2.png", "F2.jpg__1.png", "other.png", "IMG_0012.png")
    cells = find_cells(laboratory).cells
    for label in CLASSES:
        (tmp_path / label).mkdir()
        for name in names:
            copy(next(cell.path for cell in cells if cell.label == label), tmp_path / label / name)
    groups = {cell.group for cell in find_cells(tmp_path, patients=False).cells}
    own = {f"{label}/{name}" for label in CLASSES for name in names[3:]}
    assert groups == {"F1", "F2.jpg", *own}
