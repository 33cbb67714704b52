"""Which fields can be used."""

from malaria_detect.core.errors import MalariaDetectError


class FieldRefused(MalariaDetectError):  # noqa: N818 - a refusal is a proper answer, not a fault
    """A field that cannot be used.

    ``reason`` is ``out_of_focus``, ``overexposed``, ``underexposed``, ``no_cells``, ``not_a_thin_smear`` or
    ``too_few_cells``.
    """
