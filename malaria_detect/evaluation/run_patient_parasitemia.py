"""Estimated against true parasitemia for every patient: out-of-fold predictions and the census of the fields.

A patient's slide has the N cells of the census, P of them parasitized. All P are predicted, but only a sample of the
uninfected cells, so the apparent parasitemia is ``(true positives + false positive rate * (N - P)) / N``.

Nothing is chosen or estimated on the patient that is scored. In the cross-validation, the thresholds for the patients
of one fold are chosen by the rules of `malaria_detect.metrics.operating_points` on the patients of the other folds, and
the rates of the correction come from them too. (The thresholds of ``export.json`` belong to another network.) There is
no temperature, which would change no decision. The shipped model has its own thresholds, chosen on its validation
patients; its rates are those of its other test patients.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.isotonic import IsotonicRegression

from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.census import CensusError, PatientCensus, field_census, patient_census
from malaria_detect.data.splits import GROUPED
from malaria_detect.evaluation.cross_validation import CrossValidationError, HeldOut, Run
from malaria_detect.evaluation.patient_parasitemia import (
    ParasitemiaEvaluation,
    PointParasitemia,
    Reading,
    Study,
)
from malaria_detect.inference.calibrate import Logits
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics import OPERATING_RULES, PatientCounts, choose_threshold, count_patients
from malaria_detect.metrics.agreement import agreement, detection_by_band
from malaria_detect.metrics.parasitemia import corrected_parasitemia, limit_of_detection
from malaria_detect.metrics.patients import share_of_patients

# A patient's own counts, and those of the patients whose rates correct them.
_Slide = tuple[PatientCounts, Sequence[PatientCounts]]


def evaluate_parasitemia(
    held_out: HeldOut,
    run: Run,
    shipped: tuple[ModelMetadata, Logits] | None = None,
    resamples: int = 2000,
) -> ParasitemiaEvaluation:
    """Compare estimated with true parasitemia for every patient.

    Parameters
    ----------
    held_out, run : HeldOut, Run
        All cells of the data set, from a cross-validation by patient.
    shipped : (ModelMetadata, Logits), optional
        A model and its logits on its test patients.
    resamples : int
        Number of bootstrap resamples of the patients for each interval.

    Raises
    ------
    MalariaDetectError
        If the cross-validation mixed patients, or the names of the cells contain no census.
    """
    if run.split != GROUPED:
        raise CrossValidationError(
            f"Use the predictions of a cross-validation by patient; these are of a {run.split} split.",
            "wrong_splits",
        )
    patients = _patients(held_out.labels, held_out.files, held_out.groups)
    return ParasitemiaEvaluation(
        cells=run.cells,
        cross_validation=Study(
            patients, tuple(_across_folds(name, held_out, patients, resamples) for name in OPERATING_RULES)
        ),
        own_scores=agreement(
            [one.parasitemia for one in patients],
            [mixture_parasitemia(held_out, one) for one in patients],
        ),
        shipped=shipped and _of_shipped(*shipped, resamples),
        versions=library_versions(),
        created=today(),
    )


def mixture_parasitemia(held_out: HeldOut, patient: PatientCensus) -> float:
    """Parasitemia that explains a patient's own scores best, as a mixture of two distributions.

    The distributions of scores of parasitized and of uninfected cells are those of the patients in other folds; only
    their shares are the patient's own (maximum likelihood by expectation maximisation [1]_).

    References
    ----------
    .. [1] M. Saerens, P. Latinne and C. Decaestecker, Adjusting the outputs of a classifier to new a priori
       probabilities, Neural Comput. 14 (2002) 21-41.
    """
    own = np.array(held_out.groups) == patient.group
    other = np.array(held_out.folds) != np.array(held_out.folds)[own][0]
    parasitized = held_out.parasitized
    # A likelihood ratio of more than a thousand cannot be estimated from so few cells.
    fitted = IsotonicRegression(y_min=0.001, y_max=0.999, out_of_bounds="clip")
    fitted.fit(held_out.p[other], parasitized[other])
    posterior, prior = fitted.predict(held_out.p[own]), parasitized[other].mean()
    ratio = posterior / (1 - posterior) * (1 - prior) / prior
    # A predicted uninfected cell also stands for those that were not.
    stands_for = (patient.cells - patient.parasitized) / patient.sampled
    weight = np.where(parasitized[own], 1, stands_for) / patient.cells
    share = 0.05
    for _ in range(500):
        share = float(weight @ (share * ratio / (share * ratio + 1 - share)))
    return share


def _patients(
    labels: Sequence[str], files: Sequence[str], groups: Sequence[str]
) -> tuple[PatientCensus, ...]:
    found = patient_census(field_census(zip(labels, files, strict=True)))
    for group in sorted({*groups, *found}):
        if group not in found or not found[group].sampled:
            raise CensusError(
                f"No uninfected cell has a file name of patient {group}. Use all cells.", "incomplete"
            )
    return tuple(found[group] for group in sorted(found))


def _across_folds(
    name: str, held_out: HeldOut, patients: Sequence[PatientCensus], resamples: int
) -> PointParasitemia:
    folds, groups, parasitized = np.array(held_out.folds), np.array(held_out.groups), held_out.parasitized
    thresholds: list[float] = []
    slides: dict[str, _Slide] = {}
    for fold in sorted(set(held_out.folds)):
        other = folds != fold
        thresholds.append(choose_threshold(parasitized[other], held_out.p[other], groups[other], name))
        called = held_out.p >= thresholds[-1]
        others = count_patients(parasitized[other], called[other], groups[other])
        for counts in count_patients(parasitized[~other], called[~other], groups[~other]):
            slides[counts.group] = counts, others
    return _assessed(name, thresholds, [(one, *slides[one.group]) for one in patients], resamples)


def _of_shipped(metadata: ModelMetadata, test: Logits, resamples: int) -> Study:
    patients = _patients(test.labels, test.files, test.groups)
    probability = test.probability(metadata.temperature)
    points = []
    for point in metadata.operating_points:
        every = count_patients(test.parasitized, probability >= point.threshold, test.groups)
        slides = [
            (one, counts, [other for other in every if other is not counts])
            for one, counts in zip(patients, every, strict=True)
        ]
        points.append(_assessed(point.name, [point.threshold], slides, resamples))
    return Study(patients, tuple(points))


def _assessed(
    name: str,
    thresholds: Sequence[float],
    slides: Sequence[tuple[PatientCensus, PatientCounts, Sequence[PatientCounts]]],
    resamples: int,
) -> PointParasitemia:
    """Results at one operating point; each slide has its census, its own counts, and those of other patients."""
    readings = tuple(_reading(*slide, resamples) for slide in slides)
    true = np.array([patient.parasitemia for patient, _, _ in slides])
    apparent, corrected, low, high, blank = np.array([[*vars(one).values()] for one in readings]).T
    return PointParasitemia(
        name=name,
        thresholds=tuple(thresholds),
        readings=readings,
        raw=agreement(true, apparent),
        corrected=agreement(true, corrected),
        raw_detected=detection_by_band(true, apparent > blank),
        corrected_detected=detection_by_band(true, low > 0),
        coverage=share_of_patients((low <= true) & (true <= high)),
        sampling_sd=float(np.sqrt(np.mean([_variance(patient, counts) for patient, counts, _ in slides]))),
    )


def _reading(
    patient: PatientCensus, counts: PatientCounts, others: Sequence[PatientCounts], resamples: int
) -> Reading:
    uninfected = patient.cells - patient.parasitized
    apparent = (counts.true_positive + counts.false_positive_rate * uninfected) / patient.cells
    slide = corrected_parasitemia(round(apparent * patient.cells), patient.cells, others, resamples)
    blank = limit_of_detection(patient.cells, others, resamples).blank
    return Reading(apparent, slide.estimate, slide.low, slide.high, blank)


def _variance(patient: PatientCensus, counts: PatientCounts) -> float:
    """Variance of the apparent parasitemia because only some of the uninfected cells were predicted."""
    uninfected = patient.cells - patient.parasitized
    rate, missing = counts.false_positive_rate, 1 - counts.uninfected / uninfected
    return (uninfected / patient.cells) ** 2 * missing * rate * (1 - rate) / max(counts.uninfected - 1, 1)
