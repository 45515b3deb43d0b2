"""Ids become a model. torch lives here and nowhere else."""

import os

# A thread that waits for the others must sleep, not spin: beside one other busy program, spinning threads
# were measured to take thirty times as long for a step. It counts only if it is set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
