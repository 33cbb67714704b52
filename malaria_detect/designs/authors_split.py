"""Train and score a design on the split of its author."""

from pathlib import Path

from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.splits import GROUPED, Split, random_split
from malaria_detect.designs.changed import changed_settings
from malaria_detect.designs.comparison import PROTOCOL_AUTHOR, OnAuthorsSplit
from malaria_detect.designs.scoring import score_network
from malaria_detect.evaluation.cross_validation import THRESHOLD
from malaria_detect.evaluation.run_cross_validation import CrossValidationPlan, cross_validate
from malaria_detect.metrics import score
from malaria_detect.training.checkpoint import CHECKPOINT_FILE
from malaria_detect.training.described import PatientFolds
from malaria_detect.training.design import Design
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.settings import TrainSettings


def run_on_authors_split(
    design: Design, settings: TrainSettings, data: LabelledCells, work: Path, progress: bool = True
) -> OnAuthorsSplit:
    """Train a design on its author's split, which must be known, and score it on the held-out cells.

    Checkpoints and finished models are kept in `work`, and are not trained again. On a split at random the held-out
    cells also choose the epoch, as in the author's training; in a cross-validation nothing chooses.
    """
    assert design.split is not None
    if isinstance(design.split, PatientFolds):
        return _folds(design, design.split.folds, settings, data, work, progress)
    seed = settings.seed if design.split.seed is None else design.split.seed
    cut = random_split(data.cells, valid=design.split.held_out, test=0.0, seed=seed)
    share = round(100 * design.split.held_out)
    how = (
        f"random {100 - share}/{share}, seed {seed}, patients on both sides; "
        "the test cells also chose epoch, temperature and thresholds"
    )
    folder = work / f"{design.name}-{PROTOCOL_AUTHOR}"
    resume = (folder / CHECKPOINT_FILE).is_file()
    split = Split(cut.train, cut.valid, cut.valid)
    one = score_network(TrainingRun(design, settings, data, split, folder, resume, progress, how))
    cells = one.held_out
    return OnAuthorsSplit(
        split=f"random {100 - share}/{share}{', a share that we assume' if design.split.assumed else ''}",
        scores=score(cells.parasitized, cells.probability(1.0), cells.groups, THRESHOLD),
        created=one.created,
        changed=one.changed,
    )


def _folds(
    design: Design,
    folds: int,
    settings: TrainSettings,
    data: LabelledCells,
    work: Path,
    progress: bool,
) -> OnAuthorsSplit:
    work.mkdir(parents=True, exist_ok=True)
    name = f"{design.name}-{PROTOCOL_AUTHOR}"
    plan = CrossValidationPlan(
        design, settings, work, GROUPED, folds, resume=True, progress=progress, prefix=f"{name}-"
    )
    cells, run = cross_validate(data, plan, work / f"{name}-cells.csv")
    return OnAuthorsSplit(
        split=f"{folds} folds, patients kept apart",
        scores=score(cells.parasitized, cells.p, cells.groups, THRESHOLD),
        created=run.created,
        changed=tuple(changed_settings(design, run.settings)),
    )
