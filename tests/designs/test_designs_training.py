from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2

from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.registry import find_network
from malaria_detect.evaluation.run_cross_validation import CrossValidationPlan, cross_validate
from malaria_detect.inference.metadata import Epoch
from malaria_detect.inference.model_files import read_model
from malaria_detect.training.checkpoint import best_epoch, out_of_patience
from malaria_detect.training.export import export, train
from malaria_detect.training.fit import Fitted, find_learning_rate, fit
from malaria_detect.training.learner import open_learner
from malaria_detect.training.run import TrainingRun, run_by_patient
from malaria_detect.training.settings import DivergedError, TrainingError, TrainSettings
from tests.refused import refused


def run_of(cells: Path, work: Path, settings: TrainSettings, resume: bool = False) -> TrainingRun:
    data = labelled_cells(find_cells(cells))
    return run_by_patient(find_network(settings.network), settings, data, work, resume=resume, progress=False)


def fitted(cells: Path, work: Path, settings: TrainSettings, resume: bool = False) -> Fitted:
    return fit(run_of(cells, work, settings, resume))


def epochs(losses: list[float], accuracy: float = 0.5) -> list[Epoch]:
    return [
        Epoch(number, 64, 1.0, loss, accuracy, 0.5, 0.5, 0.5, 0.5, 1.0)
        for number, loss in enumerate(losses, 1)
    ]


@pytest.mark.parametrize(
    ("losses", "patience", "over"),
    [
        *(([], 2, False), ([1.0, 0.9, 0.8], 2, False), ([1.0, 2.0, 3.0, 4.0], 0, False)),
        *(([1.0, 0.8, 0.9, 0.85], 2, True), ([1.0, 0.8, 0.9, 0.79], 2, False)),
        ([1.0, 0.8, 0.8, 0.8], 2, True),
    ],
)
def test_patience_ends_if_the_loss_no_longer_falls(losses: list[float], patience: int, over: bool) -> None:
    assert out_of_patience(epochs(losses), patience) is over


NAN = float("nan")


@pytest.mark.parametrize(
    ("aucs", "losses", "best"),
    [
        # Accuracy is the same in all: of 30 cells, the one parasitized cell is missed.
        ((0.0, 0.4, 1.0, 0.9), (0.1, 0.1, 0.3, 0.1), 3),
        *(((1.0, 0.9, 1.0, 1.0), (0.2, 0.1, 0.1, 0.3), 3), ((0.5, 0.5, 0.5, 0.5), (0.1, 0.1, 0.1, 0.1), 4)),
        *(((NAN, 0.2, NAN, 0.1), (0.1, 0.2, 0.1, 0.1), 2), ((NAN, NAN, NAN, NAN), (NAN, 0.1, 0.2, NAN), 2)),
    ],
)
def test_the_best_epoch_ranks_cells_best_then_has_the_lowest_loss_then_is_the_latest(
    aucs: tuple[float, ...], losses: tuple[float, ...], best: int
) -> None:
    history = [
        replace(epoch, roc_auc=auc) for epoch, auc in zip(epochs(list(losses), 29 / 30), aucs, strict=True)
    ]
    assert best_epoch(history) == best


def test_training_stops_early_keeps_the_best_epoch_and_is_resumed(few_cells: Path, tmp_path: Path) -> None:
    # At such a rate the loss goes up at once.
    settings = find_network("small-cnn-64").settings(base_lr=0.5, patience=1, batch_size=16)
    first = fitted(few_cells, tmp_path, settings)
    assert 2 <= len(first.history) < len(settings.epochs)
    assert out_of_patience(first.history, settings.patience)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    kept = first.learner.model.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in state["best"].items())
    with first.learner.no_bar(), first.learner.no_logging():
        auc = first.learner.validate()[-1]
    assert auc == pytest.approx(max(epoch.roc_auc for epoch in first.history), abs=0.02)
    again = fitted(few_cells, tmp_path, settings, resume=True)
    assert again.history == first.history
    assert all(torch.equal(again.learner.model.state_dict()[name], kept[name]) for name in kept)
    # Older versions kept the best epoch by accuracy.
    torch.save(
        {key: value for key, value in state.items() if key != "best_epoch"}, tmp_path / "checkpoint.pt"
    )
    with refused(TrainingError, "older_checkpoint"):
        fitted(few_cells, tmp_path, settings, resume=True)
    # A run that stopped early is finished, so another one may replace it.
    other = fitted(few_cells, tmp_path, replace(settings, base_lr=1e-3, sizes=(64,)))
    assert len(other.history) == 1


def test_another_image_size_is_refused_before_anything_is_decoded(few_cells: Path, tmp_path: Path) -> None:
    settings = replace(find_network("keras-cnn-128").settings(), sizes=(64,))
    with refused(TrainingError, "wrong_size"):
        fitted(few_cells, tmp_path, settings)
    assert not list(tmp_path.glob("*.npy"))


@pytest.fixture(scope="module")
def trunk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("trunk") / "mobilenetv2.pth"
    torch.save(mobilenet_v2().state_dict(), path)
    return path


Frozen = tuple[Path, TrainSettings]


@pytest.fixture(scope="module")
def frozen_run(few_cells: Path, trunk_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """A head on frozen, random features, with a picture that is preprocessed first."""
    folder = tmp_path_factory.mktemp("frozen")
    settings = find_network("mobilenetv2-frozen").settings(
        weights={"mobilenetv2": str(trunk_file)}, sizes=(224, 224), preprocess=("blur:1",)
    )
    train(run_of(few_cells, folder / "run", settings), folder / "frozen.pkl")
    return folder / "frozen.pkl", settings


def test_a_frozen_trunk_is_exported_as_it_was(frozen_run: Frozen, trunk_file: Path) -> None:
    metadata, data = read_model(frozen_run[0])
    assert metadata.architecture == "mobilenetv2-frozen"
    assert metadata.preprocess == ("blur:1",)
    trunk = open_learner(data).model[0].trunks[0]
    for name, tensor in torch.load(trunk_file, weights_only=True).items():
        if name.startswith("features."):
            assert torch.equal(trunk.state_dict()[name], tensor.half().to(tensor.dtype)), name


def test_a_frozen_run_can_be_exported_twice(frozen_run: Frozen, few_cells: Path, tmp_path: Path) -> None:
    model, settings = frozen_run
    run = run_of(few_cells, model.parent / "run", settings, resume=True)
    fitted = fit(run)
    for name in ("first.pkl", "second.pkl"):
        export(fitted, run, tmp_path / name)
        exported = open_learner((tmp_path / name).read_bytes()).model
        # A trunk that is nested once more would rename all tensors.
        assert exported.state_dict().keys() == open_learner(model.read_bytes()).model.state_dict().keys()


def test_features_are_computed_once_and_continued(frozen_run: Frozen, few_cells: Path) -> None:
    model, settings = frozen_run
    (file,) = (model.parent / "features").glob("features-*.npy")
    whole = np.load(file)
    written = file.stat().st_mtime_ns
    fitted(few_cells, model.parent / "second", settings)
    assert file.stat().st_mtime_ns == written
    # What a killed run leaves: a batch of 32 cells, and a part of the next. The finished file is cut off.
    marked = np.full_like(whole[:32], 7.0).tobytes()
    file.with_suffix(".rows").write_bytes(marked + b"half a row")
    file.write_bytes(file.read_bytes()[:5000])
    fitted(few_cells, model.parent / "third", settings)
    continued = np.load(file)
    assert (continued[:32] == 7.0).all()
    assert np.allclose(continued[32:], whole[32:], atol=1e-2)
    assert [path.suffix for path in sorted(file.parent.iterdir())] == [".npy", ".seconds"]


def test_a_head_is_resumed_only_on_its_own_trunk(frozen_run: Frozen, few_cells: Path, tmp_path: Path) -> None:
    model, settings = frozen_run
    torch.save(mobilenet_v2().state_dict(), tmp_path / "mobilenetv2.pth")
    other = replace(settings, weights={"mobilenetv2": str(tmp_path / "mobilenetv2.pth")})
    with refused(TrainingError, "other_trunk"):
        fitted(few_cells, model.parent / "run", other, resume=True)


def test_a_head_is_cross_validated(frozen_run: Frozen, few_cells: Path, tmp_path: Path) -> None:
    _, settings = frozen_run
    plan = CrossValidationPlan(
        find_network("mobilenetv2-frozen"), settings, tmp_path, folds=2, progress=False
    )
    held_out, run = cross_validate(labelled_cells(find_cells(few_cells)), plan, tmp_path / "grouped.csv")
    assert len(held_out.files) == len(find_cells(few_cells).cells)
    assert run.settings["keep"] == "last"  # the held-out cells choose no epoch
    # The folds share the features of all cells.
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1


def test_training_that_diverges_says_so(few_cells: Path, tmp_path: Path) -> None:
    settings = find_network("small-cnn-64").settings(base_lr=1e3, optimiser="sgd", batch_size=16)
    with pytest.raises(DivergedError):
        fitted(few_cells, tmp_path, settings)


def test_no_learning_rate_is_found_for_a_frozen_trunk(few_cells: Path, tmp_path: Path) -> None:
    settings = find_network("mobilenetv2-frozen").settings()
    with refused(TrainingError, "frozen"):
        find_learning_rate(run_of(few_cells, tmp_path, settings))
