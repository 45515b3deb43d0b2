"""Lines as they arrive: one by one while somebody types them, many at once where many wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator

MOST = 4096  # lines that may wait, and that are handed on at once


def arriving(file: Iterable[bytes]) -> Iterator[list[str]]:
    """The lines of `file` without their ends, in batches of all that have come, at least one.

    What is no UTF-8 becomes U+FFFD: one bad byte in a log does not end the reading of it. Whatever
    reading raises is raised here.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(MOST)

    def read() -> None:
        try:
            for line in file:
                waiting.put(line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "replace"))
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
    waiting: queue.Queue[str | BaseException | None],
) -> tuple[list[str], str | BaseException | None]:
    """Wait for one line, and take what else is there; with them what was taken last."""
    batch: list[str] = []
    last = waiting.get()
    while isinstance(last, str):
        batch.append(last)
        if len(batch) == MOST:
            break
        try:
            last = waiting.get_nowait()
        except queue.Empty:
            break
    return batch, last
