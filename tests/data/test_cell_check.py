"""What is found when every cell is read: identical images, contradictions, images without colour, the fingerprint."""

from pathlib import Path

import pytest
from PIL import Image

from malaria_detect.data.cell_check import check_cells
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.data.splits import folds_of, grouped_split, random_split
from tests.data.test_own_cells import checked
from tests.drawn import PATIENTS


def test_cells_without_colour_are_counted_in_a_sample(own: Path) -> None:
    assert checked(own).colourless == ()
    for path in sorted(own.glob("Parasitized/*/*")):
        with Image.open(path) as image:
            grey = image.convert("L")
        grey.save(path)
    (sentence,) = checked(own).colourless
    assert sentence.startswith("12 of 24 ")


@pytest.fixture
def copied(own: Path) -> Path:
    """The cells with two copies of each parasitized cell in other formats, one of them of the next patient."""
    for number, patient in enumerate(PATIENTS[::2]):
        for path in sorted((own / CLASSES[0] / patient).iterdir()):
            with Image.open(path) as image:
                for suffix, to in (("bmp", patient), ("tif", PATIENTS[2 * number + 1])):
                    image.convert("RGB").save(
                        own / CLASSES[0] / to / f"Copy of {path.stem} {patient}.{suffix}"
                    )
    return own


def test_identical_images_are_on_one_side_of_every_split(copied: Path) -> None:
    folder, cells = checked(copied), checked(copied).cells
    assert len(cells) == 48 + 24
    assert len({cell.group for cell in cells}) == len(PATIENTS) // 2
    assert any("24" in sentence for sentence in folder.identical)
    assert sum("P0, P1 " in sentence for sentence in folder.identical) == 1
    splits = [
        how(cells, valid=0.2, test=0.2, seed=seed) for how in (grouped_split, random_split) for seed in (1, 2)
    ]
    splits += [split for how in ("grouped", "random") for split in folds_of(cells, how, 3, seed=1)]
    for split in splits:
        sides = [{cells[index].pixels for index in part} for part in (split.train, split.valid, split.test)]
        assert len(set.union(*sides)) == sum(map(len, sides)) == 48
        assert sum(map(len, (split.train, split.valid, split.test))) == len(cells)


def test_an_image_in_both_classes_is_left_out_and_reported(own: Path) -> None:
    with Image.open(own / CLASSES[0] / "P3" / "cell 1.jpg") as image:
        image.save(own / CLASSES[1] / "P5" / "other.bmp")
    folder = checked(own)
    assert len(folder.cells) == 47
    assert any("P3/cell 1.jpg" in sentence and "other.bmp" in sentence for sentence in folder.ignored)


def test_the_fingerprint_sees_patients_that_no_file_name_gives(own: Path) -> None:
    before = check_cells(find_cells(own))[1]
    (own / "Parasitized" / "P0").rename(own / "Parasitized" / "P00")
    assert check_cells(find_cells(own))[1] != before
