"""Write figures of the activations of keras-cnn-128, for a drawn cell: ``python -m tools.layers MODEL``.

MODEL is the trained model next to its metadata: ``keras-cnn-128.pkl`` in the folder that `compare --work` names.
There is a figure for each convolution and each pooling layer. No photograph is shown.
"""

import argparse
from pathlib import Path

import torch

from malaria_detect import plots
from malaria_detect.core.atomic import replaced
from malaria_detect.designs.activations import activations
from malaria_detect.inference.model_files import read_model
from malaria_detect.plots.svg import to_svg_bytes
from malaria_detect.training.learner import open_learner
from tools.gallery import DRAWN, LABORATORIES, drawn
from tools.model_card.results import LAYERS

FOLDER = Path(LAYERS)
_SHOWN = 16


def main() -> None:
    """Draw a parasitized cell, and the response of each layer to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    metadata, content = read_model(parser.parse_args().model)
    cell = drawn(*LABORATORIES["NLM"], DRAWN["ring"], seed=0)
    picture = torch.from_numpy(metadata.input_transform([cell]))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for number, layer in enumerate(activations(open_learner(content).model, picture), 1):
        figure = plots.activation_grid(layer.maps, _SHOWN)
        with replaced(FOLDER / f"{number}-{layer.kind}.svg") as file:
            # The page shows the figures only as long as they are of the training that it describes.
            mark = f"<!-- model {metadata.sha256} -->\n"
            file.write_text(f"{to_svg_bytes(figure).decode()}{mark}", encoding="utf-8")
        print(f"{number}. {layer.kind} {layer.layer}: {layer.maps.shape}")


if __name__ == "__main__":
    main()
