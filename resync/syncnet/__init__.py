"""The lip-sync network: weights file, log-mel front end, and inference with ONNX Runtime or PyTorch."""
