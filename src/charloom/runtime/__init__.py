"""A model becomes text: step kernels, draw, sampler, generator. numpy and numba; no torch."""
