"""What a checkpoint's ``config.json`` may ask for: the model that the suite describes, built from the code that is installed here.

The file comes from outside and decides how much memory a model takes, which code is loaded for it, and from where. So it is compared with
the suite's facts before anything is built, and then the model is built once without memory for its numbers, to count them.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajectories import tables
from trajectories.errors import UserError
from trajectories.suites import Model

LARGEST = 1 << 24
"""Whole numbers beyond this size a list or a loop in a model's code by more than any model needs."""
SLACK = 1 << 26
"""Numbers besides the parameters (tables of rotary angles and the like) that a model may hold."""
# by parts of their names: how attention and experts are computed. Any other word may be, or stand for, code on the Hub: `owner/name`, but
# also `flash_attention_2` where the package kernels is installed without flash-attn, `sonicmoe`, `deepgemm`
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
_BUILT_IN = {"eager", "sdpa", "flex_attention", "batched_mm", "grouped_mm"}
# by their names: code on the Hub, too; by parts of them: other files, other formats of weights
_KERNELS = {"use_kernels", "kernel_config", "kernel_mapping", "use_local_kernel"}
_REFUSED = ("transformers_weights", "quantization_config")
_BASE = re.compile(r"(.+_)?rope_theta|rotary_emb(edding)?_base")
"""Keys that hold a base of rotary angles, whatever its size: what it makes is as long as without it."""
_FACTS = {"hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads", "vocab_size": "vocabulary"}


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth; parts of a list have its key, keys below one of an implementation its kind before them."""
    waiting = [("", value)]
    while waiting:
        key, found = waiting.pop()
        yield key, found
        if isinstance(found, dict):
            above = "".join(f"{part}." for part in _IMPLEMENTATIONS if part in key)
            waiting += [(above + name, part) for name, part in found.items()]
        elif isinstance(found, list):
            waiting += [(key, part) for part in found]


def _check_content(path: Path) -> None:
    content = tables.read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"'{path}' should hold a mapping of keys; report it to the repository.")
    for key, value in _entries(content):
        if _elsewhere(key, value):
            raise UserError(f"'{path}' asks for '{key}', which may load code or files from elsewhere; use a plain copy of the model.")
        if isinstance(value, int) and abs(value) > LARGEST and not _BASE.fullmatch(key):
            raise UserError(f"'{path}' has the number {value} as '{key}', which no model needs; report it to the repository.")


def _elsewhere(key: str, value: Any) -> bool:
    """Whether an entry could make transformers load code or files that are not installed or not listed."""
    if any(part in key for part in _IMPLEMENTATIONS):
        return isinstance(value, str) and value not in _BUILT_IN
    return value not in (None, False) and (key in _KERNELS or any(part in key for part in _REFUSED))


def check(folder: Path, model: Model) -> None:
    """Raise :class:`UserError` unless the configuration describes a model of the suite's sizes that the installed code builds.

    Args:
        folder: a Hugging Face model directory whose files are what its manifest says.
        model: the suite's facts.
    """
    import torch
    import transformers

    path = folder / "config.json"
    _check_content(path)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        text = config.get_text_config()
        for key, fact in _FACTS.items():
            found, expected = getattr(text, key, None), getattr(model, fact)
            if found != expected:
                raise UserError(f"'{path}' says {key} {found}, and the suite's '{model.name}' has {expected}; correct the suite's {fact}.")
        with torch.device("meta"):
            built = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UserError:
        raise
    except Exception as error:  # a hostile file has more ways to fail than can be listed
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{path}' describes no model that can be built here ({reason}); fetch or train it again.") from error
    numbers = sum(part.numel() for part in [*built.parameters(), *built.buffers()])
    if numbers > model.parameters_total + SLACK:
        raise UserError(
            f"'{path}' makes a model of {numbers:,} numbers, and the suite's '{model.name}' has {model.parameters_total:,} parameters."
        )
    for pickled in folder.glob("pytorch_model*.bin"):
        _check_zip(pickled)


def _check_zip(path: Path) -> None:
    """Torch stores tensors as they are, so that a file's size bounds the memory; a compressed one could hold a thousand times its size."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise UserError(f"'{path}' holds compressed tensors, whose size nobody knows; report it to the repository.")
