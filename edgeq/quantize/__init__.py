"""FloatGraph + observed activations -> IntGraph. Ranges: activations.py; weights: weights.py; the walk: lower.py."""

from edgeq.quantize.activations import METHODS
from edgeq.quantize.lower import InputSpec, QuantOptions, quantize

__all__ = ["METHODS", "InputSpec", "QuantOptions", "quantize"]
