"""Fixtures that stand elsewhere."""

from published.archives import archives

__all__ = ["archives"]
