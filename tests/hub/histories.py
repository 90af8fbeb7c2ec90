"""Made-up training runs: tensors that drift and diffuse as training moves them, and the checkpoints that a Hub holds of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from trajectories.hub.continuity import Sample

Array = npt.NDArray[np.float32]
PYTHIA = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 143001, 1000)]
WIDTH, LAYERS = 32, 3
SHAPES: dict[str, tuple[int, ...]] = {
    f"gpt_neox.layers.{layer}.{name}": shape
    for layer in range(LAYERS)
    for name, shape in {
        "attention.dense.bias": (WIDTH * 2,),
        "attention.dense.weight": (WIDTH, WIDTH),
        "attention.query_key_value.bias": (3 * WIDTH,),
        "attention.query_key_value.weight": (3 * WIDTH, WIDTH),
        "input_layernorm.bias": (WIDTH * 2,),
        "input_layernorm.weight": (WIDTH * 2,),
        "mlp.dense_4h_to_h.bias": (WIDTH * 2,),
        "mlp.dense_4h_to_h.weight": (WIDTH, 4 * WIDTH),
    }.items()
} | {"gpt_neox.embed_in.weight": (128, WIDTH)}

SCHEDULES: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "cosine": lambda t: np.minimum(t / 0.01, 1) * (0.55 + 0.45 * np.cos(np.pi * t)),
    "linear": lambda t: np.minimum(t / 0.02, 1) * (1.001 - t),
    "constant": np.ones_like,
    "drops": lambda t: np.where(t < 0.5, 1.0, np.where(t < 0.8, 0.1, 0.01)),
    "stable, then decay": lambda t: np.minimum(t / 0.02, 1) * np.clip((1.001 - t) / 0.2, 0, 1),
}
"""Learning rate, as a share of its peak, by the share of training that is done."""


def history(
    seed: int,
    steps: Sequence[int] = PYTHIA,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    schedule: str = "cosine",
    drift: float = 0.5,
    noise: float = 0.0,
    travel: float = 2.0,
) -> dict[int, dict[str, Array]]:
    """Tensors by step.

    Args:
        seed: of the start and of the noise.
        steps: ascending.
        shapes: by name; vectors called ``…norm.weight`` start at one, other vectors at zero, matrices at random.
        schedule: of :data:`SCHEDULES`.
        drift: how much of the way is straight, the rest being diffusion.
        noise: size of what has no memory from one checkpoint to the next, against the diffusion of the hundredth part of a run.
        travel: length of the whole way against the size of the start (of a matrix).
    """
    random = np.random.default_rng(seed)
    last = max(steps)
    grid = np.linspace(0, 1, 4001)
    rate = SCHEDULES[schedule](grid)
    area, variance = (np.concatenate([[0.0], np.cumsum((f[1:] + f[:-1]) / 2) / 4000]) for f in (rate, rate**2))
    total = area[-1], variance[-1]
    at = np.array(steps) / last
    way, spread = np.interp(at, grid, area) / total[0], np.interp(at, grid, variance) / total[1]
    size = sum(int(np.prod(s)) for s in shapes.values())
    scale, start = [], []
    for name, shape in shapes.items():
        n = int(np.prod(shape))
        start.append(random.normal(0, 0.02, n) if len(shape) > 1 else np.full(n, float(name.endswith("norm.weight"))))
        scale.append(np.full(n, 0.02 * travel * random.uniform(0.3, 2)))
    x, unit = np.concatenate(start), np.concatenate(scale)
    direction = random.normal(size=size) * unit * drift
    found, walk = {}, np.zeros(size)
    for k, step in enumerate(steps):
        if k:
            walk += random.normal(size=size) * np.sqrt(max(spread[k] - spread[k - 1], 0)) * unit * (1 - drift)
        amplitude = noise * 0.1 * np.sqrt(np.interp(at[k], grid, rate) * min(1.0, at[k] / 0.005))  # it takes some steps to build up
        shaken = random.normal(size=size) * unit * amplitude if noise else 0.0
        flat = (x + direction * way[k] + walk + shaken).astype(np.float32)
        found[step] = dict(zip(shapes, np.split(flat, np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1]), strict=True))
    return {step: {name: v.reshape(shapes[name]) for name, v in tensors.items()} for step, tensors in found.items()}


def stored(values: Array, dtype: str) -> bytes:
    """The bytes of a tensor in a safetensors type."""
    if dtype == "BF16":  # rounded to nearest, ties away
        return ((values.astype("<f4").view(np.uint32) + 0x8000) >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def safetensors(tensors: Mapping[str, Array], dtype: str = "F16") -> bytes:
    """A safetensors file."""
    blocks = {name: stored(v, dtype) for name, v in sorted(tensors.items())}
    ends = np.cumsum([len(b) for b in blocks.values()]).tolist()
    entries = {
        name: {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [end - len(block), end]}
        for (name, block), end in zip(blocks.items(), ends, strict=True)
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + b"".join(blocks.values())


def revision(tensors: Mapping[str, Array], shards: int = 1, dtype: str = "F16") -> dict[str, bytes]:
    """The files of a checkpoint on the Hub, its tensors cut by name into so many files."""
    files = {"config.json": b"{}", "tokenizer.json": b"{}"}
    if shards == 1:
        return files | {"model.safetensors": safetensors(tensors, dtype)}
    names = sorted(tensors)
    edges = [len(names) * k // shards for k in range(shards + 1)]
    cut = [names[a:b] for a, b in pairwise(edges)]
    titles = [f"model-{k + 1:05d}-of-{shards:05d}.safetensors" for k in range(shards)]
    places = {name: title for title, own in zip(titles, cut, strict=True) for name in own}
    index = json.dumps({"metadata": {}, "weight_map": places}).encode()
    own_files = {title: safetensors({n: tensors[n] for n in own}, dtype) for title, own in zip(titles, cut, strict=True)}
    return files | {"model.safetensors.index.json": index} | own_files


def samples(run: Mapping[int, Mapping[str, Array]], dtype: str = "F32") -> list[Sample]:
    """What reading all tensors of a run gives, rounded to a type."""
    epsilon = {"F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7}[dtype]

    def rounded(values: Array) -> Array:
        data = stored(values, dtype)
        if dtype == "BF16":
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)

    return [Sample(step, [rounded(v.reshape(-1)) for v in tensors.values()], epsilon) for step, tensors in run.items()]
