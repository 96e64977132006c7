"""What the float network does on real data: samples, one pass of observation, histograms. No onnx here."""

from edgeq.calibrate.data import Samples, load_samples
from edgeq.calibrate.observe import Observations, observe

__all__ = ["Observations", "Samples", "load_samples", "observe"]
