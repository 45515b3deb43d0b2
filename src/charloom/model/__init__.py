"""What a model is: its configuration, its weights as named arrays, its folder on disk."""
