"""Check cells by reading every image: what cannot be read, identical images, and a fingerprint."""

import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import scipy

from malaria_detect.data.image_checks import is_colourless
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.data.nlm_cells import Cell, CellFolder, CellsError, patient_group
from malaria_detect.data.picture_files import first_of

# Judging the colour of every cell would take half as long again.
_COLOURS_JUDGED = 40


def check_cells(folder: CellFolder) -> tuple[CellFolder, str]:
    """Readable cells of a folder, with the digest of their pixels, and a fingerprint of them.

    Identical images are cells of one patient: patient groups that share one are joined, so that no image is on both
    sides of a split. An image that is in both classes is left out. Every image is read once. Images without colour are
    counted in a sample of 40.

    The fingerprint is a SHA-256 (hexadecimal) over class, name, size and CRC-32 of the RGB pixels of every cell, and
    over patient and part where the file name does not give them. A lossless copy of the files has the same one.

    Returns
    -------
    folder : CellFolder
        Sentences about unreadable files and contradictions are added to ``ignored``, those about copies to
        ``identical``, one about images without colour to ``colourless``.
    fingerprint : str

    Raises
    ------
    CellsError
        If identical images are in two parts of a given split; ``reason`` is ``two_sides``.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        every = -(-len(folder.cells) // _COLOURS_JUDGED)
        judged = [number % every == 0 for number in range(len(folder.cells))]
        findings = list(pool.map(_inspect, folder.cells, judged))
    cells, ignored, contents, greys = [], list(folder.ignored), {}, []
    for cell, found in zip(folder.cells, findings, strict=True):
        if isinstance(found, ImageRefused):
            ignored.append(f"{cell.place}: {found}")
        else:
            content, pixels, is_grey = found
            greys += [is_grey] if is_grey is not None else []
            cells.append(replace(cell, pixels=pixels))
            contents[pixels] = content
    cells, contradictions = _without_contradictions(cells)
    cells, identical = _joined(cells)
    lines = sorted(f"{cell.label}/{cell.name} {contents[cell.pixels]}{_assigned(cell)}" for cell in cells)
    fingerprint = hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
    colourless = (
        f"{sum(greys)} of {len(greys)} examined images have no colour. Use colour images: the model needs the stain.",
    )
    checked = replace(
        folder,
        cells=tuple(cells),
        ignored=(*ignored, *contradictions),
        identical=identical,
        colourless=colourless if any(greys) else (),
    )
    return checked, fingerprint


def _inspect(cell: Cell, is_judged: bool) -> tuple[str, str, bool | None] | ImageRefused:
    """Size and CRC-32 for the fingerprint; the digest, as a CRC-32 is too short; if judged, whether it is grey."""
    try:
        image = read_image(cell.path)
    except ImageRefused as refusal:
        return refusal
    data = image.tobytes()
    digest = hashlib.blake2b(f"{image.size}".encode() + data, digest_size=16).hexdigest()
    return (
        f"{image.width} {image.height} {zlib.crc32(data)}",
        digest,
        is_colourless(image) if is_judged else None,
    )


def _assigned(cell: Cell) -> str:
    """Patient and part of a cell whose file name does not give them."""
    try:
        named = patient_group(cell.path.name)
    except CellsError:
        named = ""
    return "" if (cell.group, cell.part) == (named, "") else f" {cell.group} {cell.part}"


def _identical(cells: Sequence[Cell]) -> list[list[Cell]]:
    alike: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        alike[cell.pixels].append(cell)
    return [group for group in alike.values() if len(group) > 1]


def _without_contradictions(cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    both = [alike for alike in _identical(cells) if len({cell.label for cell in alike}) > 1]
    pixels = {alike[0].pixels for alike in both}
    sentences = [
        f"{' and '.join(cell.place for cell in alike)}: the same image in both classes." for alike in both
    ]
    return [cell for cell in cells if cell.pixels not in pixels], sentences


def _joined(cells: Sequence[Cell]) -> tuple[list[Cell], tuple[str, ...]]:
    """Cells in which patients with identical images are one, and sentences that say so."""
    copies = _identical(cells)
    if not copies:
        return list(cells), ()
    pairs = [(alike[0], other) for alike in copies for other in alike[1:]]
    for first, other in pairs:
        if first.part != other.part:
            raise CellsError(
                f"{first.place} and {other.place} are the same image, but in two parts of the split ({first.part} and "
                f"{other.part}). Remove one, or put both patients into one part.",
                reason="two_sides",
            )
    examples = first_of([f"{other.place} = {first.place}" for first, other in pairs])
    sentences = [
        f"copies of other images, which stay on one side of every split with them: {len(pairs)} ({examples})."
    ]
    names = sorted({cell.group for cell in cells})
    number = {name: position for position, name in enumerate(names)}
    ends = np.array([(number[first.group], number[other.group]) for first, other in pairs]).T
    links = scipy.sparse.coo_array((np.ones(len(pairs)), ends), shape=(len(names), len(names)))
    component = scipy.sparse.csgraph.connected_components(links, directed=False)[1]
    patients: dict[int, list[str]] = defaultdict(list)
    for name in names:
        patients[component[number[name]]].append(name)
    joined = {name: group[0] for group in patients.values() for name in group}
    sentences += [
        f"patients {', '.join(group)} share images and are counted as one patient, {group[0]}."
        for group in patients.values()
        if len(group) > 1
    ]
    return [replace(cell, group=joined[cell.group]) for cell in cells], tuple(sentences)
