"""Drawn fields written to disk in the formats of annotated ones."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from malaria_detect.fields.cell import RED_CELL, FoundCell
from tests.drawn_fields import Drawn, drawn_field, red_or_white

DRAWN = Drawn()
# Tests share the pictures and must not change them.
drawn = cache(drawn_field)
_NLM_CLASSES = {"white cell": "White_Blood_Cell"}
_BOX_CLASSES = {"white cell": "white blood cell", "Parasitized": "ring", "Uninfected": "red blood cell"}


def found_cells(seed: int, what: Drawn = DRAWN) -> list[FoundCell]:
    """The cells of a drawn field as a perfect finder gives them."""
    pixels, outlines, kinds = drawn(seed, what)
    size = np.array(pixels.shape[1::-1])
    return [
        FoundCell(outline, 0.9, red_or_white(kind), bool(((outline <= 0) | (outline >= size)).any()))
        for outline, kind in zip(outlines, kinds, strict=True)
    ]


def whole_mask(cell: FoundCell, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    """The mask of a cell in its picture, bool, shape (height, width)."""
    left, top, width, height = cell.box
    mask = np.zeros(size[::-1], bool)
    mask[top : top + height, left : left + width] = cell.mask
    return mask


def write_nlm(root: Path, seeds: Sequence[int], points: bool = False) -> Path:
    """NIH-NLM-ThinBloodSmearsPf: a patient for each seed, with one field in the Polygon Set or the Point Set."""
    folder = root / ("Point Set" if points else "Polygon Set")
    for seed in seeds:
        pixels, outlines, kinds = drawn(seed)
        patient = folder / f"{seed}C1P{seed}thinF"
        lines = [f"{len(kinds)},{pixels.shape[1]},{pixels.shape[0]}"]
        for number, (outline, kind) in enumerate(zip(outlines, kinds, strict=True), 1):
            corners = outline.mean(axis=0, keepdims=True) if points else outline
            values = ",".join(f"{value:.2f}" for value in corners.ravel())
            shape = "Point" if points else "Polygon"
            lines.append(
                f"1-{number},{_NLM_CLASSES.get(kind, kind)},No_comment,{shape},{len(corners)},{values}"
            )
        (patient / "GT").mkdir(parents=True)
        (patient / "Img").mkdir()
        (patient / "GT" / f"IMG_{seed}.txt").write_text("\n".join(lines) + "\n")
        Image.fromarray(pixels).save(patient / "Img" / f"IMG_{seed}.jpg", quality=95)
    return root


def write_boxes(root: Path, seeds: Sequence[int], what: Drawn = DRAWN, **first: Any) -> Path:
    """``annotations.json`` with boxes; `first` changes the entry of the first field."""
    entries = []
    for seed in seeds:
        pixels, _, kinds = drawn(seed, what)
        Image.fromarray(pixels).save(root / f"{seed}.png")
        boxes = [
            {"type": _BOX_CLASSES[kind], **dict(zip("xywh", cell.box, strict=True))}
            for cell, kind in zip(found_cells(seed, what), kinds, strict=True)
        ]
        entries.append({"image": f"{seed}.png", "boxes": boxes})
    entries[0] |= first
    (root / "annotations.json").write_text(json.dumps(entries))
    return root


def write_known(root: Path, cells: Path, seed: int) -> Path:
    """``annotations.json`` with every other cell of a field in NLM's way, and the images of these cells on black."""
    pixels, _, kinds = drawn(seed)
    stem = f"C1P{seed}ThinF_IMG_20150821_15071{seed}"
    Image.fromarray(pixels).save(root / f"{stem}.png")
    known = []
    whole = [one for one in zip(found_cells(seed), kinds, strict=True) if not one[0].on_edge]
    red = [one for one in whole if one[0].kind == RED_CELL]
    for number, (cell, label) in enumerate(red[::2], 1):
        left, top, width, height = cell.box
        image = pixels[top : top + height, left : left + width] * cell.mask[..., None]
        (cells / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(cells / label / f"{stem}_cell_{number}.png")
        place = dict(zip("xywh", cell.box, strict=True))
        known.append({"label": label, "cell": number, **place})
    census = {"cells_total": len(red), "cells_total_is": "exact", "parasitized": kinds.count("Parasitized")}
    entry = {"image": f"{stem}.png", "patient_group": f"C1P{seed}ThinF", **census, "known_cells": known}
    (root / "annotations.json").write_text(json.dumps([entry]))
    return root


def write_centres(root: Path, seeds: Sequence[int]) -> Path:
    """A text file of ``x y type`` beside each image."""
    for seed in seeds:
        pixels, _, _ = drawn(seed)
        Image.fromarray(pixels).save(root / f"{seed}.jpg", quality=95)
        centres = [cell.centre for cell in found_cells(seed) if cell.kind == RED_CELL]
        (root / f"{seed}.txt").write_text("".join(f"{x:.0f} {y:.0f} 3\n" for x, y in centres))
    return root
