"""The float side: ONNX models are loaded, cleaned, run and imported here, and only here is onnx imported."""
