"""How much work fits into a stretch of time, learned from how long the last took."""

from __future__ import annotations

SMOOTHING = 0.3  # the weight of the newest measurement: one that was disturbed does not count for much


class Pace:
    """`amount` of work takes about `seconds`; never below `least` nor above `most`."""

    def __init__(self, seconds: float, least: int, most: int) -> None:
        self.seconds, self._least, self._most = seconds, least, most
        self._each = 0.0  # seconds a unit of work
        self.amount = least

    def took(self, amount: int, seconds: float) -> None:
        """So much work took so long."""
        each = seconds / max(amount, 1)
        self._each = each if not self._each else (1 - SMOOTHING) * self._each + SMOOTHING * each
        fits = int(self.seconds / max(self._each, 1e-9))
        self.amount = max(self._least, min(self._most, fits, 2 * self.amount))
