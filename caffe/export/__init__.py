"""Nets as files that other programs run: ONNX, TorchScript. The command is commands/export.py."""
