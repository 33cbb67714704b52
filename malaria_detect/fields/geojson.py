"""Outlines for QuPath, as GeoJSON."""

from typing import Any

from malaria_detect.fields.classes import COLOURS, class_of, properties_of
from malaria_detect.fields.result import AnalysedCell, FieldResult


def geojson(result: FieldResult) -> dict[str, Any]:
    """Feature collection that QuPath imports as detections; write it with `json.dump`.

    Each cell has its class with a colour, measurements in square px and shares, and the properties of
    :func:`malaria_detect.fields.classes.properties_of`. The measurement ``Verified`` is 1 for a person's verdict and 0
    for a prediction.

    Examples
    --------
    >>> geojson(FieldResult("field.jpg", (640, 480)))
    {'type': 'FeatureCollection', 'features': []}
    """
    return {"type": "FeatureCollection", "features": [_feature(cell) for cell in result.cells]}


def _feature(cell: AnalysedCell) -> dict[str, Any]:
    ring = [[float(x), float(y)] for x, y in cell.found.outline]
    name, properties = class_of(cell), properties_of(cell)
    measurements: dict[str, Any] = {
        "Area px^2": round(cell.found.area, 2),
        "Verified": float(cell.verified is not None),
    }
    if cell.prediction is not None:
        measurements["Probability parasitized"] = properties["probability_parasitized"]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "objectType": "detection",
            "name": str(cell.number),
            "classification": {"name": name, "color": list(COLOURS[name])},
            "isLocked": False,
            "measurements": measurements,
            **properties,
        },
    }
