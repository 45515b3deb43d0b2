"""Lines as they arrive: one by one while somebody types them, many at once where many wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

MOST = 4096  # lines that may wait, and that are handed on at once
Line = TypeVar("Line")


def arriving(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """`lines` in batches of all that have come, at least one. Whatever reading them raises is raised here."""
    waiting: queue.Queue[tuple[Line] | BaseException | None] = queue.Queue(MOST)

    def read() -> None:
        try:
            for line in lines:
                waiting.put((line,))
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()  # a pipe that never ends must not hold up our end
    while True:
        batch, last = _gather(waiting)
        if batch:
            yield batch
        if isinstance(last, BaseException):
            raise last
        if last is None:
            return


def _gather(
    waiting: queue.Queue[tuple[Line] | BaseException | None],
) -> tuple[list[Line], tuple[Line] | BaseException | None]:
    """Wait for one line, and take what else is there; with them what was taken last."""
    batch: list[Line] = []
    last = waiting.get()
    while isinstance(last, tuple):
        batch.append(last[0])
        if len(batch) == MOST:
            break
        try:
            last = waiting.get_nowait()
        except queue.Empty:
            break
    return batch, last
