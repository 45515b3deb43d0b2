"""HTTP: a trained model as a service that OpenAI's clients speak to."""
