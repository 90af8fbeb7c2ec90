"""``trajectories fetch``: a checkpoint from the Hub, from the commit that the audit pinned."""

from __future__ import annotations

from trajectories import tables
from trajectories.cli import Machine
from trajectories.hub import room
from trajectories.hub.fetch import MANIFEST, fetch
from trajectories.layout import Layout
from trajectories.recipes import Settings


def run(settings: Settings, layout: Layout, machine: Machine, model: str, step: int) -> None:
    """Write ``checkpoints/<model>/step<step>/`` and, last, its ``checkpoint.json``.

    Where checkpoints are not kept, only the small files and the manifest are fetched here, and the weights by the extraction that needs
    them, which fetches the next ones while it measures: so few of them lie on the disk at once.

    Raises:
        UserError: as :func:`trajectories.hub.fetch.fetch`, or the weights alone exceed the bound on the disk.
    """
    folder = fetch(settings.suite.model(model), layout, step, weights=machine.keep_checkpoints)
    room.check(tables.read_json(folder / MANIFEST), machine.weights_disk)
