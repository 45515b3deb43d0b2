"""What was learned: evaluation, scores, baselines."""
