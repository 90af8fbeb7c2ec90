"""``trajectories fetch``: a checkpoint from the Hub, from the commit that the audit pinned."""

from __future__ import annotations

from trajectories.cli import Machine
from trajectories.hub.fetch import fetch
from trajectories.layout import Layout
from trajectories.recipes import Settings


def run(settings: Settings, layout: Layout, machine: Machine, model: str, step: int) -> None:
    """Write ``checkpoints/<model>/step<step>/`` and, last, its ``checkpoint.json``.

    Where checkpoints are not kept, only the small files and the manifest are fetched here, and the weights by the extraction that needs
    them: so no more of them lie on the disk at once than extractions run.

    Raises:
        UserError: as :func:`trajectories.hub.fetch.fetch`.
    """
    fetch(settings.suite.model(model), layout, step, weights=machine.keep_checkpoints)
