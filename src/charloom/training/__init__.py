"""Ids become a model. torch lives here and nowhere else."""
