"""Ids become a model. torch lives here and nowhere else."""

import os

# How long a thread spins before it sleeps while it waits for the others. Beside one other busy program,
# torch's default made a step take thirty to seventy times as long; this one less than three times, and in a
# quiet minute it costs a tenth (docs/log.md). It counts only if it is set before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
