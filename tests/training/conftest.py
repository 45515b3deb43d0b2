"""What `prepared` gives."""

from prepared import _one_thread, prepare

__all__ = ["_one_thread", "prepare"]
