"""The view "About": what the model was trained on, what it cannot do, where it comes from."""

import math
import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import malaria_detect
from malaria_detect.passport import Passport
from malaria_detect.report import ReportError
from malaria_detect.report.published import read_published
from malaria_detect.report.tables import recipe
from malaria_detect.sentences import NOT_CALIBRATED, count, percent, threshold
from malaria_detect.widgets.parts import Text
from malaria_detect.words import megabytes

TEXT = Path(__file__).parent / "texts" / "about.html"


class About(Text):
    """What the model is and is not.

    Parameters
    ----------
    passport : Passport
    published : path
        What others published, quoted as it stands there; where it is missing, nothing is quoted.
    """

    def __init__(
        self, passport: Passport, published: str | os.PathLike[str] = "reports/published.json", **kwargs: Any
    ) -> None:
        super().__init__(lambda: about(passport, published), **kwargs)


def about(passport: Passport, published: str | os.PathLike[str] = "reports/published.json") -> str:
    """Write the view as HTML: what is known of the data in general, and the passport's facts."""
    elsewhere, doubted = _quoted(Path(published))
    facts = {
        "Version": malaria_detect.__version__,
        "Network": f"{passport.architecture}, {passport.input_size} px",
        "Started from": str(passport.weights),
        "Trained": f"{passport.created}, {recipe(passport.history, passport.settings)}",
        "Labels learnt": f"as {passport.labels_learnt}",
        "Temperature": f"{passport.temperature:.3f}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in passport.versions.items()),
        "Model file": f"{passport.file_name}, {megabytes(passport.size_bytes)}",
        "SHA-256": passport.sha256,
        "Licence": passport.licence,
    }
    healthy = [point.test.estimates["specificity"].value for point in passport.operating_points]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        intended_use=escape(passport.intended_use),
        false_alarms=f"{percent(1 - max(healthy))} to {percent(1 - min(healthy))}",
        elsewhere=elsewhere,
        doubted=doubted,
        calibration=_calibration(passport),
        points="".join(
            f"<li><b>{escape(point.name.capitalize())}</b>, from {threshold(point)} on. {escape(point.rule)}</li>"
            for point in passport.operating_points
        ),
        default=escape(passport.default_point),
        doubt=_doubt(passport),
        sides=_sides(passport),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
    )


def _quoted(path: Path) -> tuple[str, str]:
    """What others found elsewhere, and of the labels."""
    if not path.is_file():
        return "", ""
    try:
        published = read_published(path)
    except ReportError as error:
        return "", f" ({escape(str(error))})"
    return (
        f". Others found: {escape('; '.join(map(str, published.elsewhere)))}",
        f": an expert review set aside {escape(str(published.doubted_labels))}",
    )


def _calibration(passport: Passport) -> str:
    if not passport.calibrated:
        return escape(NOT_CALIBRATED)
    scores = passport.point().test
    return (
        "Its probabilities are calibrated: the network’s log-odds are divided by one number, fitted on validation "
        f"patients (temperature scaling, {passport.temperature:.3f}). On {count(scores.patients, 'test patient')} a "
        f"probability then lies {scores.estimates['ece'].value:.4f} on average from the share of cells that turn out "
        f"so, where the network’s own lies {passport.ece_raw:.4f}. The order of the cells stays as it is. The "
        "network’s own probability, which <code>learn.predict</code> of plain fastai gives, stands under “Details” on "
        "every card."
    )


def _doubt(passport: Passport) -> str:
    doubt = passport.doubt
    caught = (
        ""
        if math.isnan(doubt.test_caught)
        else f", and {percent(doubt.test_caught)} of the wrong calls are among them"
    )
    return (
        f"A call is marked doubtful where its own probability is under {percent(doubt.below)}. On test patients, at "
        f"“{escape(passport.default_point)}”, {percent(doubt.test_share)} of the cells are doubtful{caught}."
    )


def _sides(passport: Passport) -> str:
    sides = (passport.train, passport.valid, passport.test)
    rows = {
        "Patients": [len(side.groups) for side in sides],
        "Cells": [side.cells for side in sides],
        "Parasitized": [side.parasitized for side in sides],
        "Uninfected": [side.uninfected for side in sides],
    }
    return "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{number:,}</td>' for number in numbers)}</tr>"
        for name, numbers in rows.items()
    )
