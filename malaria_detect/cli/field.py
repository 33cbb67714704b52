"""``malaria-detect field``: analyse photographs of whole fields."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from malaria_detect import __version__
from malaria_detect.cli.cells import pictures_of
from malaria_detect.cli.training_options import add_model
from malaria_detect.core.atomic import replaced, write_text
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.data.picture_files import path_text
from malaria_detect.inference.model_files import sha256_of

if TYPE_CHECKING:
    from malaria_detect.fields.analyse import FieldAnalyser
    from malaria_detect.fields.result import FieldResult
    from malaria_detect.fields.slide import SlideResult

# Results of single fields, so that an interrupted command continues.
_SAVED = ".fields"
_OVERLAYS = "overlay"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    field = commands.add_parser(
        "field",
        help="analyse photographs of whole fields: find, classify and count the cells",
        description="Find the red cells in photographs of thin smears, classify and count them. Every folder is a "
        "slide. After an interruption, the same command continues.",
    )
    field.add_argument(
        "paths", nargs="+", metavar="PATH", help="photographs, folders of them, or patterns such as 'a/*.jpg'"
    )
    field.add_argument("--out", metavar="DIR", required=True, help="folder for the results")
    add_model(field)
    field.add_argument(
        "--operating-point",
        metavar="NAME",
        help="screening, balanced or counting (default: counting, which calls few uninfected cells parasitized)",
    )
    field.add_argument(
        "--cell-diameter", metavar="PX", type=float, help="diameter of a red cell in px (default: estimated)"
    )
    field.add_argument(
        "--red-cells-per-microlitre",
        metavar="N",
        type=float,
        help="red-cell count of the blood, such as 5e6, for parasites per microlitre",
    )
    for name, meaning in (
        ("overlay", "photographs with the outlines drawn in (JPEG)"),
        ("geojson", "outlines for QuPath (GeoJSON)"),
        ("rois", "outlines for ImageJ (ROI sets)"),
        ("coco", "all outlines as COCO JSON"),
    ):
        field.add_argument(f"--{name}", action="store_true", help=f"also write {meaning}")
    field.set_defaults(run=_field)


def _field(options: argparse.Namespace) -> int:
    from malaria_detect.app.slide_wording import warnings_of
    from malaria_detect.app.wording import COMMAND
    from malaria_detect.data.images import FORMATS
    from malaria_detect.fields.analyse import load_analyser
    from malaria_detect.inference.metadata import RESEARCH_USE

    out = Path(options.out)
    # Overlays of an earlier call can be in a folder that is searched.
    drawn = os.path.realpath(out / _OVERLAYS) + os.sep
    paths = [path for path in pictures_of(options.paths) if not os.path.realpath(path).startswith(drawn)]
    if not paths:
        raise MalariaDetectError(
            f"{', '.join(options.paths)} has no images ({', '.join(FORMATS)}).", reason="no_images"
        )
    (out / _SAVED).mkdir(parents=True, exist_ok=True)
    analyser = load_analyser(options.model, options.operating_point)
    # A wrong count is refused before long work.
    slide_of = partial(analyser.slide, red_cells_per_microlitre=options.red_cells_per_microlitre)
    slide_of(())
    options.after_interrupt = "Run the same command again to continue."
    slides: dict[str, list[FieldResult]] = {}
    base = Path(os.path.commonpath([os.path.realpath(path.parent) for path in paths]))
    for path, result in _analysed(analyser, paths, options):
        _write_exports(path, Path(os.path.realpath(path)).relative_to(base), result, options)
        slides.setdefault(path_text(path.parent), []).append(result)
    results = [slide_of(fields, name) for name, fields in slides.items()]
    _write_results(analyser, results, options)
    for slide in results:
        for warning in warnings_of(slide.fields, COMMAND):
            print(f"{slide.name}: {warning}", file=sys.stderr)
    refused = sum(slide.refused for slide in results)
    print(
        f"{sum(slide.parasitized for slide in results):,} parasitized of {sum(slide.cells for slide in results):,} "
        f"cells in {len(paths) - refused:,} fields, {refused:,} fields refused; operating point "
        f"{analyser.detector.point.name}. {RESEARCH_USE}",
        file=sys.stderr,
    )
    return 1 if refused else 0


def _analysed(
    analyser: "FieldAnalyser", paths: Sequence[Path], options: argparse.Namespace
) -> "Iterator[tuple[Path, FieldResult]]":
    """Fields with their results; those that were analysed before, with the same settings, are read."""
    from tqdm import tqdm

    from malaria_detect.core.json_io import from_json
    from malaria_detect.fields.result import FieldResult

    for path in tqdm(paths, unit="field", disable=not sys.stderr.isatty()):
        saved = Path(options.out) / _SAVED / f"{_key(analyser, path, options.cell_diameter)}.json"
        if saved.is_file():
            # The same picture can be in several places.
            content = json.loads(saved.read_text(encoding="utf-8"))
            result = replace(from_json(FieldResult, content), name=path_text(path))
        else:
            result = analyser.analyse_field(path, path_text(path), options.cell_diameter)
            if result.size != (0, 0):
                write_text(saved, to_json(result))
        yield path, result


def _key(analyser: "FieldAnalyser", path: Path, cell_diameter: float | None) -> str:
    """Hash of everything that a result depends on."""
    try:
        picture = sha256_of(path)
    except OSError:
        picture = ""  # it will be refused with the reason
    detector = analyser.detector
    # All metadata, because thresholds and calibration change without the weights.
    models = [to_json(one) for one in (detector.metadata, analyser.finder.metadata)]
    settings = [__version__, picture, *models, detector.point.name, cell_diameter]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def _write_exports(path: Path, relative: Path, result: "FieldResult", options: argparse.Namespace) -> None:
    """Write the files of one field that the options ask for, in folders like those of the pictures."""
    if result.refusal is not None:
        return
    if options.overlay:
        from malaria_detect.data.images import read_field
        from malaria_detect.fields.overlay import annotated

        with replaced(_place(options, _OVERLAYS, relative, ".jpg")) as new:
            annotated(read_field(path), result).save(new, "JPEG", quality=85)
    if options.geojson:
        from malaria_detect.fields.geojson import geojson

        write_text(_place(options, "geojson", relative, ".geojson"), json.dumps(geojson(result)))
    if options.rois:
        from malaria_detect.fields.imagej import write_rois

        with replaced(_place(options, "rois", relative, ".zip")) as new:
            write_rois(new, result)


def _place(options: argparse.Namespace, kind: str, relative: Path, suffix: str) -> Path:
    # The suffix of the picture stays: a.png and a.jpg may be two fields.
    place = Path(options.out, kind, relative.parent, relative.name + suffix)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _write_results(
    analyser: "FieldAnalyser", slides: "Sequence[SlideResult]", options: argparse.Namespace
) -> None:
    """Write the tables, the summary and, if asked for, the outlines of all fields as COCO."""
    from malaria_detect.fields.tables import summary, write_tables

    out = Path(options.out)
    write_tables(out, slides)
    write_text(out / "summary.json", to_json(summary(slides, analyser.detector.metadata)))
    if options.coco:
        from malaria_detect.fields.coco import coco

        usable = [field for slide in slides for field in slide.fields if field.refusal is None]
        write_text(out / "coco.json", json.dumps(coco(usable)))
