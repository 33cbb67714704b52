"""``malaria-detect labels``: published labels to doubt first."""

import argparse

from malaria_detect.cli.train import accuracy


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    labels = commands.add_parser(
        "labels", help="rank published labels by how little networks trained on other patients believe them"
    )
    labels.add_argument("--out", metavar="FILE", required=True, help="table of candidates to write")
    labels.add_argument(
        "--predictions",
        default="reports/crossval-grouped.csv",
        help="held-out predictions that `malaria-detect evaluate` wrote (default: %(default)s)",
    )
    labels.add_argument("--top", type=int, help="write only so many (default: all)")
    labels.add_argument(
        "--class", dest="label", choices=("Parasitized", "Uninfected"), help="only this class"
    )
    labels.add_argument(
        "--corrections", metavar="FILE", help="verdicts so far: also tell the scores on corrected labels"
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
        f"{options.out} written: {len(candidates)} labels, least believable first; for {contradicted} the other class "
        "is the more probable one. Review them in notebooks/labels.ipynb: only a person can say that a label is wrong."
    )
    if options.corrections:
        held_out, run = read_run(options.predictions)
        found = summarise(with_corrections(held_out, read_corrections(options.corrections)), run)
        print(f"On published labels: {accuracy(found.scores, 'held-out')}.")
        if found.corrected_scores:
            print(f"On corrected labels: {accuracy(found.corrected_scores, 'held-out')}; {FLATTERED}.")
    return 0
