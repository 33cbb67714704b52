import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastai.vision.all import PILImage, Resize, load_learner

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.splits import fastai_splitter, grouped_split
from malaria_detect.designs.registry import find_network
from malaria_detect.inference.input import RESIZE, InputTransform
from malaria_detect.training.datablock import cell_block, design_dataloaders
from malaria_detect.training.half_pickle import export_learner
from malaria_detect.training.image_cache import cache_inputs, cache_padded


@pytest.mark.parametrize("size", [(40, 394), (394, 40), (131, 130), (460, 460), (900, 700), (17, 16)])
def test_a_padded_square_is_fastais_pixel_for_pixel(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size[0])
    image = PILImage.create(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    fastai = Resize(RESIZE, method="pad", pad_mode="zeros")(image, split_idx=1)
    assert np.array_equal(pad_to_square(image, RESIZE), np.asarray(fastai))


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("resnet34", ()),
        ("resnet34", ("blur:2", "hsv")),
        ("resnet18-scratch-110", ()),
        ("keras-cnn-128", ()),
        ("small-cnn-64", ()),
    ],
)
def test_input_is_that_of_the_learner(name: str, preprocess: tuple[str, ...], sample_cells: Path) -> None:
    design = find_network(name)
    paths = [cell.path for cell in find_cells(sample_cells).cells[::39]]
    size, mean, std = design.input_size, design.mean, design.std
    block: dict[str, Any] = {"size": size, "mean": mean, "std": std, "preprocess": preprocess}
    dls = design_dataloaders(paths, batch_tfms=design.augmentations(size), **block)
    (batch,) = dls.test_dl(paths, bs=len(paths)).one_batch()
    ours = InputTransform(**block)([read_image(path) for path in paths])
    assert np.allclose(ours, np.asarray(batch), atol=1e-5)


def test_cached_images_are_those_that_training_and_prediction_use(sample_cells: Path, tmp_path: Path) -> None:
    paths = [cell.path for cell in find_cells(sample_cells).cells[::20]]
    done: list[int] = []
    padded = cache_padded(paths, 64, tmp_path / "train.npy", done.append)
    transform = InputTransform(size=96)
    inputs = cache_inputs(paths, transform, tmp_path / "valid.npy", done.append)
    assert sum(done) == 2 * len(paths)
    for path, image in zip(paths, padded, strict=True):
        assert np.array_equal(image, pad_to_square(read_image(path), 64))
    exact = transform([read_image(path) for path in paths]).transpose(0, 2, 3, 1)
    # A grey level is 1/255 of the range of RGB, divided by the standard deviation.
    assert np.abs(inputs - exact).max() < 0.06 / 255 / max(transform.std)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.npy", "valid.npy"]


def test_the_block_keeps_patients_apart(sample_cells: Path) -> None:
    paths = [cell.path for cell in find_cells(sample_cells).cells]
    dls = cell_block(fastai_splitter(grouped_split, seed=1)).dataloaders(paths, bs=8, num_workers=0)
    assert dls.one_batch()[0].shape == (8, 3, 224, 224)
    assert tuple(dls.vocab) == CLASSES
    groups = [{path.name.split("_IMG_")[0] for path in side.items} for side in (dls.train_ds, dls.valid_ds)]
    assert not groups[0] & groups[1]


def test_augmentation_turns_cells_but_keeps_their_edge_in_black(drawn_cells: Path) -> None:
    paths = [cell.path for cell in find_cells(drawn_cells).cells[:8]]
    block = cell_block(lambda items: (list(range(8)), [0]))
    dls = block.dataloaders(paths, bs=8, num_workers=0, shuffle=False)
    first, second = (dls.after_batch[-1].decode(dls.train.one_batch()[0]) for _ in range(2))
    assert not torch.allclose(first, second, atol=0.05)
    # Black stays near black: brightness and contrast are all that changes it.
    assert first[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.25


def test_an_export_is_small_and_opens_as_a_float32_learner(drawn_cells: Path, tmp_path: Path) -> None:
    paths = [cell.path for cell in find_cells(drawn_cells).cells[::30]]
    design = find_network("resnet34")
    network = design.start("none").network
    untrained = design.wrap(design_dataloaders(paths), network, design.settings())
    export_learner(untrained, tmp_path / "export.pkl")
    assert (tmp_path / "export.pkl").stat().st_size <= 45_000_000
    with pytest.warns(UserWarning, match="insecure pickle"):
        learner = load_learner(tmp_path / "export.pkl")
    tensors = learner.model.state_dict().values()
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.float32}
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in floats)
    assert len(learner.dls.train_ds) == 0
    # Normalize is not rounded.
    (batch,) = learner.dls.test_dl(paths, bs=len(paths)).one_batch()
    ours = InputTransform()([read_image(path) for path in paths])
    assert np.allclose(ours, np.asarray(batch), atol=1e-5)


def test_the_shipped_model_contains_no_bytecode_and_no_path(shipped_model: Path) -> None:
    with zipfile.ZipFile(shipped_model) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        pickled = archive.read(name)
    strings = [value for _, value, _ in pickletools.genops(pickled) if isinstance(value, str)]
    assert "nn.modules.conv" in "".join(strings)
    # Bytecode would open on one version of Python only.
    assert not [value for value in strings if "CodeType" in value or "_make_function" in value]
    assert not [value for value in strings if value.startswith("/") or "site-packages" in value]


_PLAIN_FASTAI = """
import sys
sys.modules["malaria_detect"] = None  # from here on it cannot be imported
try:
    import malaria_detect
except ModuleNotFoundError:
    print("alone", end=" ")
from fastai.vision.all import load_learner
learner = load_learner(sys.argv[1])
with learner.no_bar(), learner.no_logging():
    label, position, probabilities = learner.predict(sys.argv[2])
print(label, int(position), *(f"{float(p):.6f}" for p in probabilities))
"""


def test_the_shipped_model_predicts_with_plain_fastai_alone(shipped_model: Path, sample_cells: Path) -> None:
    cell = find_cells(sample_cells).cells[0]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PLAIN_FASTAI, str(shipped_model), str(cell.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    alone, label, position, *probabilities = done.stdout.split()
    assert (alone, label) == ("alone", CLASSES[int(position)])
    assert sum(map(float, probabilities)) == pytest.approx(1, abs=1e-4)
