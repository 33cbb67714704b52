"""Models and predictions: metadata, input transform, network, detector and calibration."""
