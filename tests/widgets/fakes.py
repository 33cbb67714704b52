"""A detector that answers at once, and a passport with made-up numbers: what the widgets' own tests need of a model."""

import io

import numpy as np
from PIL import Image

from malaria_detect.detector import Prediction
from malaria_detect.images import size_warnings
from malaria_detect.metrics import score
from malaria_detect.passport import Epoch, Passport, Side, StartWeights

GROUPS = ("C100P61ThinF", "C101P62ThinF")


class BrightnessDetector:
    """Takes a picture's brightness for its probability: grey 255 is surely parasitized, grey 0 surely not."""

    def __init__(self, passport: Passport) -> None:
        self.passport = passport

    def predict(self, image: Image.Image) -> Prediction:
        probability = float(np.asarray(image, float).mean() / 255)
        return Prediction(
            label="Parasitized" if probability >= 0.5 else "Uninfected",
            decision="Parasitized" if probability >= self.passport.threshold else "Uninfected",
            probabilities={"Parasitized": probability, "Uninfected": 1 - probability},
            image_size=image.size,
            warnings=size_warnings(*image.size),
        )


def made_up_passport() -> Passport:
    rng = np.random.default_rng(0)
    labels = rng.random(400) < 0.5
    scores = score(
        labels,
        np.clip(labels * 0.5 + rng.random(400) * 0.6, 0, 1),
        [f"P{n % 20}" for n in range(400)],
        resamples=50,
    )
    side = Side(cells=1400, parasitized=700, uninfected=700, groups=GROUPS)
    return Passport(
        schema_version=1,
        file_name="export.pkl",
        sha256="0123456789abcdef" * 4,
        size_bytes=43_800_000,
        architecture="resnet34",
        classes=("Parasitized", "Uninfected"),
        resize=460,
        input_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        weights=StartWeights("file", "trunk.pth", "0" * 64, loaded=90, missing=12, identity_blocks=()),
        data_fingerprint="0" * 64,
        split="grouped",
        seed=0,
        train=side,
        valid=side,
        test=side,
        versions={"torch": "2.14.1"},
        settings={},
        history=tuple(
            Epoch(n, 96, 0.6 / n, 0.5 / n + 0.05, 1 - 0.2 / n, 0.9, 0.9, 0.9, 0.97, 60.0) for n in range(1, 5)
        ),
        validation_scores=scores,
        test_scores=scores,
        threshold=0.4,
        created="2026-01-31",
        licence="Apache-2.0",
        intended_use="For research on single cells.",
    )


def grey_png(value: int, side: int = 60) -> bytes:
    """A plain grey picture, for which the detector says ``value / 255``."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(file, "PNG")
    return file.getvalue()
