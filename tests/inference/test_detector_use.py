"""What a detector accepts and refuses, its copies, and its use in other processes."""

import array
import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.prediction import Prediction
from tests.refused import refused


@pytest.fixture(scope="module")
def paths(sample_cells: Path) -> list[Path]:
    """Two cells."""
    return [cell.path for cell in find_cells(sample_cells).cells[:2]]


@pytest.mark.parametrize(
    "single",
    [
        *("cell.png", Path("cell.png"), b"cell", bytearray(2), memoryview(b"cell"), io.BytesIO(b"cell")),
        *(None, 3, {"cell": "cell.png"}, array.array("B", b"cell")),
        *(Image.new("RGB", (130, 120)), np.zeros((120, 130), np.uint8), np.zeros((120, 130, 3), np.uint8)),
        *(np.zeros((3, 120, 130), np.uint8), np.zeros(9, np.uint8), np.array(3), torch.zeros(3, 120, 130)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_image_is_not_taken_for_many(detector: Detector, single: Any) -> None:
    with refused(ArgumentError, "images"):
        detector.predict_many(single)


def test_a_stack_names_in_an_array_views_of_a_dictionary_and_progress_bars_are_many(
    detector: Detector, paths: list[Path]
) -> None:
    few = paths[:2]
    for many in (
        np.stack([np.asarray(read_image(paths[0]).resize((130, 120)))] * 2),
        np.array([str(path) for path in few]),
        np.array(few, dtype=object),
        dict.fromkeys(few).keys(),
        tqdm(iter(few), disable=True),
    ):
        assert [type(answer) for answer in detector.predict_many(many)] == [Prediction] * 2
    assert list(detector.predict_many([])) == []


@pytest.mark.parametrize("size", [0, -1, True, 2.5, "8", None])
def test_a_batch_is_a_whole_number_of_images(detector: Detector, size: Any) -> None:
    with refused(ArgumentError, "batch_size"):
        detector.predict_many([], batch_size=size)


def test_an_error_of_the_callers_own_images_reaches_the_caller(detector: Detector) -> None:
    def images() -> Iterator[bytes]:
        yield b""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(detector.predict_many(images(), batch_size=1))


@pytest.mark.parametrize("path", [b"export.pkl", 3, ["export.pkl"]])
def test_a_model_is_named_by_its_path(path: Any) -> None:
    with refused(ArgumentError, "path"):
        load_detector(path)


@pytest.mark.parametrize("folder", ["", ".", "/", ".."])
def test_a_folder_is_no_model(folder: str) -> None:
    with refused(MetadataError, "missing"):
        load_detector(folder)


def test_an_operating_point_is_named(detector: Detector) -> None:
    with refused(ArgumentError, "operating_point"):
        detector.at(None)  # type: ignore[arg-type]
    with refused(MetadataError, "unknown_operating_point"):
        detector.at("")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda detector: pickle.loads(pickle.dumps(detector))]
)
def test_a_copy_gives_the_same_answers(
    detector: Detector, paths: list[Path], copied: Callable[[Detector], Detector]
) -> None:
    counting = detector.at("counting")
    copy_of_it = copied(counting)
    assert (copy_of_it.metadata, copy_of_it.point) == (counting.metadata, counting.point)
    assert copy_of_it.predict(paths[0]) == counting.predict(paths[0])


# Run as a program, because a forked test would carry everything that pytest has opened.
PROCESSES = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from malaria_detect import load_detector
from malaria_detect.explain import explain

def work(detector, cell):
    (first, _, _) = detector.predict_many([cell] * 3)
    return first.decision, explain(detector, cell).finding

if __name__ == "__main__":
    model, cell, folder = sys.argv[1:]
    detector = load_detector(model)
    expected = work(detector, cell)
    os.chdir(folder)
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            assert pool.submit(work, detector, cell).result() == expected
    child = os.fork()
    if not child:
        grandchild = os.fork()
        ended = os.waitpid(grandchild, 0)[1] if grandchild else work(detector, cell) != expected
        os._exit(ended != 0)
    assert os.waitpid(child, 0)[1] == 0
    assert work(detector, cell) == expected
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_processes_that_are_forked_or_spawned_after_a_prediction_predict_and_explain(
    shipped_model: Path, paths: list[Path], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROCESSES, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(program), str(shipped_model), str(paths[0]), str(tmp_path)],
        # Two threads, because a single one has no pool that a fork could break.
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # what hangs fails
    )
    assert (ran.returncode, ran.stderr) == (0, "")
