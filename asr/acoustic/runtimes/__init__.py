"""Implementations of the interface `asr.acoustic.runtime.AcousticModel`, by ONNX Runtime and by Keras."""
