"""``malaria-detect labels``: candidate label errors."""

import argparse

from malaria_detect.cli.training_options import scores_in_words


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    labels = commands.add_parser(
        "labels",
        help="list the published labels that are most likely wrong",
        description="List the published labels that are most likely wrong, according to networks that were trained on "
        "other patients. Write them as CSV, for review by a person.",
    )
    labels.add_argument(
        "--out",
        metavar="FILE",
        default="candidate-label-errors.csv",
        help="table of candidates to write (default: %(default)s)",
    )
    labels.add_argument(
        "--predictions",
        default="reports/crossval-grouped.csv",
        help="held-out predictions that `malaria-detect evaluate` wrote (default: %(default)s)",
    )
    labels.add_argument("--top", type=int, help="largest number of candidates (default: all)")
    labels.add_argument(
        "--class", dest="label", choices=("Parasitized", "Uninfected"), help="only labels of this class"
    )
    labels.add_argument(
        "--corrections", metavar="FILE", help="verdicts so far: also print the scores on corrected labels"
    )
    labels.set_defaults(run=_labels)


def _labels(options: argparse.Namespace) -> int:
    from malaria_detect.app.wording import FLATTERED
    from malaria_detect.data.corrections import read_corrections
    from malaria_detect.evaluation.cross_validation import read_run, summarise
    from malaria_detect.evaluation.label_issues import candidates_from, with_corrections, write_candidates

    candidates = candidates_from(options.predictions, options.label, options.top)
    write_candidates(candidates, options.out)
    contradicted = sum(candidate.contradicted for candidate in candidates)
    print(
        f"{options.out} written: {len(candidates)} labels, the most likely wrong ones first. For {contradicted} the "
        "other class is more probable. Review them in notebooks/labels.ipynb: only a person can say which are wrong."
    )
    if options.corrections:
        held_out, run = read_run(options.predictions)
        found = summarise(with_corrections(held_out, read_corrections(options.corrections)), run)
        print(f"On published labels: {scores_in_words(found.scores, 'held-out')}.")
        if found.corrected_scores:
            print(f"On corrected labels: {scores_in_words(found.corrected_scores, 'held-out')}; {FLATTERED}.")
    return 0
