"""A trained model for other people's runtimes: one web page, a JavaScript module, ONNX."""
