"""What runs an acoustic model: ONNX Runtime or Keras."""
