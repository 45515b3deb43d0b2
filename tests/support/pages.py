"""A text that every Python carries: the pages of its language reference."""

from __future__ import annotations

from pydoc_data.topics import topics

PAGES = "\n".join(topics[name] for name in sorted(topics))
