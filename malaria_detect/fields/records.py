"""A record for each red cell, field and slide: the same names in CSV, JSON and HTTP. No NumPy."""

from dataclasses import dataclass

from malaria_detect.inference.metadata import RESEARCH_USE


@dataclass(frozen=True)
class CellRecord:
    """A red cell of a field.

    Attributes
    ----------
    image : str
        Name of the field.
    cell : int
        Number in the field.
    x, y, width, height : int
        Box in px of the raster as stored, from the top left corner.
    area : float
        Square px.
    on_edge : bool
        Whether it touches the edge and is therefore not counted.
    kind : str
        ``red cell``.
    decision : str or None
        The verdict of a person, otherwise the model's decision; None if it could not be classified.
    probability_parasitized : float or None
        By the model, 0 to 1.
    uncertain : bool
        Whether a person should look at it.
    refusal : str or None
        Code of the reason why the model has no answer, such as ``foreign``.
    site_warning : bool or None
        Whether it looks unlike the cells that the model knows; None without an answer.
    """

    image: str
    cell: int
    x: int
    y: int
    width: int
    height: int
    area: float
    on_edge: bool
    kind: str
    decision: str | None
    probability_parasitized: float | None
    uncertain: bool
    refusal: str | None
    site_warning: bool | None


@dataclass(frozen=True)
class OutlinedCell(CellRecord):
    """A red cell with its outline, corners (x, y) of a closed polygon in px."""

    outline: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FieldRecord:
    """A field.

    Attributes
    ----------
    image : str
    cells, parasitized, uncertain : int or None
        Of the red cells that count; None, as all numbers here, if the field was refused.
    parasitemia, parasitemia_low, parasitemia_high : float or None
        Apparent parasitemia, 0 to 1, with Wilson's 95 % interval.
    seconds : float
        Time of the analysis.
    warnings : tuple of str
        Reasons why the counts may be less reliable than usual.
    error : str or None
        Why the field cannot be used.
    refusal : str or None
        Code of this reason, such as ``too_large``.
    site_warning : bool or None
        Whether its cells look unlike the cells that the model knows; None if it was refused.
    """

    image: str
    cells: int | None
    parasitized: int | None
    uncertain: int | None
    parasitemia: float | None
    parasitemia_low: float | None
    parasitemia_high: float | None
    seconds: float
    warnings: tuple[str, ...]
    error: str | None
    refusal: str | None
    site_warning: bool | None


@dataclass(frozen=True)
class SlideRecord:
    """A slide; numbers that are not defined are None.

    Attributes
    ----------
    slide : str
    fields, refused : int
        Number of fields, and how many of them cannot be used.
    cells, parasitized, uncertain : int
        Of the red cells that count.
    verified, verified_parasitized : int
        How many of these cells and of the parasitized ones have a person's verdict; the other ones are predicted.
    parasitemia, parasitemia_low, parasitemia_high : float or None
        Apparent parasitemia, 0 to 1, with its 95 % interval.
    corrected, corrected_low, corrected_high : float or None
        Corrected for the model's mistakes on the cells that are predicted.
    design_effect : float
        Variance between the fields over that of chance.
    limit_of_detection : float or None
        Lowest parasitemia distinguishable from zero with this number of cells.
    parasites_per_microlitre, parasites_per_microlitre_low, parasites_per_microlitre_high : float or None
        Of blood; None without a red-cell count.
    cdc_missing, bsh_missing, who_missing : int
        How many more cells the guidelines ask for.
    """

    slide: str
    fields: int
    refused: int
    cells: int
    parasitized: int
    uncertain: int
    verified: int
    verified_parasitized: int
    parasitemia: float | None
    parasitemia_low: float | None
    parasitemia_high: float | None
    corrected: float | None
    corrected_low: float | None
    corrected_high: float | None
    design_effect: float
    limit_of_detection: float | None
    parasites_per_microlitre: float | None
    parasites_per_microlitre_low: float | None
    parasites_per_microlitre_high: float | None
    cdc_missing: int
    bsh_missing: int
    who_missing: int


@dataclass(frozen=True)
class Summary:
    """Content of ``summary.json``: the slides, and what they were analysed with."""

    slides: tuple[SlideRecord, ...]
    operating_point: str
    threshold: float
    model_sha256: str
    version: str
    research_use: str = RESEARCH_USE
