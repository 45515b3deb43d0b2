"""Only texts that were never written before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from charloom.runtime.sample import Sample

PATIENCE = 1000  # refusals in a row after which a model is taken to have said all it has


class Unique:
    """Of samples, in their order, those whose text, prompt included, is neither in `known` nor came before.

    Ends when the samples do, or after `patience` refusals in a row (`exhausted` is then true). `refused`
    counts all refusals. A text is remembered by 16 bytes, whatever its length.
    """

    def __init__(self, known: Iterable[str] = (), patience: int = PATIENCE) -> None:
        self._patience = patience
        self._seen = {_digest(text) for text in known}
        self.refused = 0
        self.exhausted = False

    def __call__(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Those of `samples`; texts of earlier calls count as known."""
        in_a_row = 0
        for sample in samples:
            digest = _digest(sample.prompt + sample.text)
            if digest not in self._seen:
                self._seen.add(digest)
                in_a_row = 0
                yield sample
                continue
            self.refused += 1
            in_a_row += 1
            if in_a_row >= self._patience:
                self.exhausted = True
                return


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
