"""Where everything lies under ``results/<suite>/``: the paths that rules, verbs, tests and other tools rely on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one suite's results.

    Args:
        root: the folder ``<results>/<suite>``.
    """

    root: Path

    def recipe(self, name: str) -> Path:
        """What a verb's run depends on besides its input files; see ``recipes.py``."""
        return self.root / "recipes" / f"{name}.json"

    @property
    def corpus(self) -> Path:
        """Embedded suites: the packed rows, tokenizer and truth; ``corpus.json`` inside it is written last."""
        return self.root / "corpus"

    def truth(self, table: str) -> Path:
        """Embedded suites: one table of planted truth."""
        return self.corpus / "truth" / f"{table}.parquet"

    def order(self, order: str) -> Path:
        """Folder of one training order; ``order.json`` inside it is written last."""
        return self.root / "order" / order

    def audit(self, model: str | None = None) -> Path:
        """What each checkpoint of a model is worth; of all chosen models without a name."""
        return self.root / "audit.parquet" if model is None else self.root / "audit" / f"{model}.parquet"

    def published(self, model: str) -> Path:
        """Published suites: the results of one model as a table."""
        return self.root / "published" / f"{model}.parquet"

    def checkpoint(self, model: str, step: int) -> Path:
        """A Hugging Face model directory; ``checkpoint.json`` inside it is written last."""
        return self.root / "checkpoints" / model / f"step{step}"

    def stimuli(self, experiment: str) -> Path:
        """The token sequences that an experiment shows to every checkpoint."""
        return self.root / "stimuli" / f"{experiment}.parquet"

    def exposures(self, experiment: str) -> Path:
        """Which order showed which stimulus at which step."""
        return self.root / "exposures" / f"{experiment}.parquet"

    def terms(self, experiment: str) -> Path:
        """What an experiment wants counted in the training orders; without rows where it wants nothing."""
        return self.root / "terms" / f"{experiment}.parquet"

    def counts(self, order: str, experiment: str) -> Path:
        """How often an experiment's terms occur in a training order up to each checkpoint."""
        return self.root / "counts" / order / f"{experiment}.parquet"

    def measurement(self, model: str, step: int, experiment: str) -> Path:
        """What one checkpoint did on one experiment's stimuli."""
        return self.root / "measurements" / model / f"step{step}" / f"{experiment}.parquet"

    def tensor(self, model: str, step: int, experiment: str, measure: str) -> Path:
        """A measure that is a tensor; stands beside the measurement's table."""
        return self.measurement(model, step, experiment).with_name(f"{experiment}.{measure}.safetensors")

    @property
    def store(self) -> Path:
        """What extraction and counting have computed, by digest of all that it depends on."""
        return self.root / "store"

    def trajectories(self, experiment: str) -> Path:
        """Metrics by training step."""
        return self.root / "trajectories" / f"{experiment}.parquet"

    def claims(self, experiment: str) -> Path:
        """An experiment's claims and their verdicts."""
        return self.root / "claims" / f"{experiment}.parquet"

    def calibration(self, experiment: str) -> Path:
        """How each claim's decision behaves on simulated data of known truth."""
        return self.root / "calibration" / f"{experiment}.parquet"

    def recovery(self, experiment: str) -> Path:
        """Embedded suites: planted parameters against their estimates."""
        return self.root / "recovery" / f"{experiment}.parquet"

    def figures(self, experiment: str) -> Path:
        """Folder of an experiment's static figures."""
        return self.root / "figures" / experiment

    def figures_json(self, experiment: str) -> Path:
        """Specs and captions of an experiment's figures; stands beside their folder and is written last."""
        return self.root / "figures" / f"{experiment}.json"

    def forget(self, path: Path) -> bool:
        """Remove a damaged file, and whatever tells the workflow that it is there: the next run makes it anew.

        Returns:
            False for a file outside the results, which is left alone.
        """
        root, path = self.root.resolve(), path.resolve()
        if root not in path.parents:
            return False
        folders = path.parents[: path.parents.index(root)]
        known = [folder / name for folder in folders for name in ("corpus.json", "order.json", "checkpoint.json")]
        if path.relative_to(root).parts[0] in ("measurements", "trajectories"):  # tensors and further tables stand beside the first table
            known.append(path.with_name(f"{path.name.partition('.')[0]}.parquet"))
        for file in [*known, path]:
            file.unlink(missing_ok=True)
        return True

    @property
    def claims_json(self) -> Path:
        """The claims of all experiments, as a list."""
        return self.root / "claims.json"

    @property
    def report(self) -> Path:
        """The one file to read."""
        return self.root / "report.html"
