"""Which files make a checkpoint: a list of names that are allowed, so that nothing else is ever fetched, loaded or removed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = ("config.json", "generation_config.json")
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
# the format preferred first: safetensors hold numbers only; `.bin` are pickles, which extraction loads with `weights_only=True`
FORMATS = {
    "safetensors": (re.compile(r"model(?:-(\d{5})-of-(\d{5}))?\.safetensors"), "model.safetensors.index.json"),
    "bin": (re.compile(r"pytorch_model(?:-(\d{5})-of-(\d{5}))?\.bin"), "pytorch_model.bin.index.json"),
}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at a commit.

    Attributes:
        name: path in the repository.
        size: bytes.
        blob: SHA-1 that git gives the content (of the pointer, for a large file).
        sha256: of a large file's content; None for a small one.
    """

    name: str
    size: int
    blob: str | None = None
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Its size and the hash that tells most, as the audit keeps them beside the name."""
        return {"size": self.size, "blob": self.blob} if self.sha256 is None else {"size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, name: str, entry: Mapping[str, Any]) -> RemoteFile:
        """What :meth:`to_json` gave."""
        return cls(name, int(entry["size"]), entry.get("blob"), entry.get("sha256"))

    def matches(self, path: Path) -> bool:
        """Whether the bytes at ``path`` are this file, by size and hash."""
        try:
            if path.stat().st_size != self.size:
                return False
            with open(path, "rb") as file:
                if self.sha256 is not None:
                    return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
                return blob_sha1(file.read()) == self.blob
        except OSError:
            return False


def blob_sha1(content: bytes) -> str:
    """The id that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def weights_format(name: str) -> str | None:
    """``safetensors`` or ``bin`` if a file of that name holds weights, else None."""
    return next((kind for kind, (pattern, _) in FORMATS.items() if pattern.fullmatch(name)), None)


def allowed(name: str) -> bool:
    """Whether a file of that name may be fetched; no such name leaves its folder or holds code."""
    return name in CONFIGURATION or name in TOKENIZER or weights_format(name) is not None or any(name == i for _, i in FORMATS.values())


def weights_of(names: Iterable[str]) -> list[str]:
    """The names that hold weights, sorted."""
    return sorted(n for n in names if weights_format(n) is not None)


def weights_sha256(digests: Mapping[str, str]) -> str:
    """The identity of a checkpoint's weights.

    Args:
        digests: SHA-256 by name of the weight files (one format).

    Returns:
        The file's own SHA-256; of several files, that of the lines ``<name> <sha256>`` sorted by name.
    """
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True)
class Choice:
    """The files of a revision that make its checkpoint, or why there is none.

    Attributes:
        files: by name; empty if ``problem`` is set.
        format: ``safetensors`` or ``bin``.
        problem: what is absent, in a few words, or an empty string.
    """

    files: dict[str, RemoteFile]
    format: str = ""
    problem: str = ""

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 by name of the weight files."""
        return {n: f.sha256 or "" for n, f in sorted(self.files.items()) if weights_format(n) is not None}

    @property
    def sha256(self) -> str | None:
        """Identity of the weights, None if they are not whole."""
        return weights_sha256(self.weights) if self.files else None


def _complete(names: list[str], kind: str) -> tuple[list[str], str]:
    """The weight files of one format if they are all there, else what is absent."""
    pattern, index = FORMATS[kind]
    found = {name: pattern.fullmatch(name) for name in names}
    single = [n for n, m in found.items() if m and m[1] is None]
    if single:
        return single, ""
    shards = {n: (int(m[1]), int(m[2])) for n, m in found.items() if m}
    if not shards:
        return [], ""
    total = max(of for _, of in shards.values())
    shards = {n: k for n, k in shards.items() if k[1] == total}
    absent = sorted(set(range(1, total + 1)) - {k for k, _ in shards.values()})
    if absent:
        return [], f"{len(absent)} of the {total} {kind} shards absent (number {absent[0]} first)"
    if index not in names:
        return [], f"{index} absent"
    return [*shards, index], ""


def choose(files: Iterable[RemoteFile]) -> Choice:
    """Pick the files of a revision to fetch: configuration, tokenizer, and weights as safetensors or, where there are none, as ``.bin``."""
    here = {f.name: f for f in files if allowed(f.name)}
    if "config.json" not in here:
        return Choice({}, problem="config.json absent")
    problems = []
    for kind in FORMATS:
        weights, problem = _complete(sorted(here), kind)
        if problem:
            problems.append(problem)
        if weights:
            if unhashed := [n for n in weights_of(weights) if here[n].sha256 is None]:
                return Choice({}, problem=f"{unhashed[0]} has no SHA-256 on the Hub")
            small = [n for n in here if n in CONFIGURATION or n in TOKENIZER]
            return Choice({n: here[n] for n in sorted([*small, *weights])}, kind)
    return Choice({}, problem="; ".join(problems) or "no weights")
