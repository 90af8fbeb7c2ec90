"""A checkpoint's model behind one small interface: weights checked against the manifest, logits where they are wanted and nowhere else."""

from __future__ import annotations

import functools
import gc
import inspect
import json
from pathlib import Path
from typing import Any

import torch
import transformers

from trajectories.errors import UserError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_device(wanted: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` names on this machine; raises UserError for ``cuda`` where there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("The key 'device' asks for cuda, but torch finds no CUDA device here; set it to auto or cpu.")
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu")


class LanguageModel:
    """A causal language model that is only read.

    Args:
        module: a transformers model with a language-modelling head.
        device: where it computes; of a model that is spread over several, where its inputs come from and its outputs go.

    Attributes:
        shards: devices that hold a part of the model.
        vocabulary: rows of the embedding matrix; every id shown must be below it.
        context: most tokens of a sequence, or None where the configuration sets no limit.
        layers: number of hidden states less one, see :class:`trajectories.extraction.measures.Hidden`.
        width: width of a hidden state.
    """

    def __init__(self, module: Any, device: torch.device):
        # where transformers spread the model over several devices
        self.shards = len(set(getattr(module, "hf_device_map", {}).values())) or 1
        self.module = (module if self.shards > 1 else module.to(device)).eval()
        self.device = device
        self.dtype = str(next(module.parameters()).dtype).removeprefix("torch.")
        config = module.config.get_text_config()
        self.vocabulary = int(module.get_input_embeddings().num_embeddings)
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        self.layers, self.width = int(config.num_hidden_layers), int(config.hidden_size)
        self._selects = "logits_to_keep" in inspect.signature(module.forward).parameters
        # a mask travels to the first device, and what it selects from lies on the last
        self._selects_by_mask = self._selects and self.shards == 1

    @torch.inference_mode()
    def read(self, ids: torch.Tensor, wanted: torch.Tensor, hidden: bool = False) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Logits of the wanted positions, and hidden states.

        Args:
            ids: int64 [items, positions], filled up on the right.
            wanted: bool [items, positions]; the head is applied at these positions alone.
            hidden: whether hidden states are wanted.

        Returns:
            logits [wanted positions, vocabulary] in the model's dtype, row by row of ``ids``; hidden states by layer, each
            [items, positions, width], or an empty tuple.
        """
        options: dict[str, Any] = {"logits_to_keep": wanted} if self._selects_by_mask else {}
        out = self.module(input_ids=ids, use_cache=False, output_hidden_states=hidden, **options)
        logits = out.logits if out.logits.ndim == 2 else out.logits[wanted]
        return logits, tuple(out.hidden_states) if hidden else ()

    @torch.inference_mode()
    def unembed(self, states: torch.Tensor) -> torch.Tensor:
        """What final norm and output head make of hidden states.

        Args:
            states: [positions, width], of any layer but the last, which has passed the norm already.

        Returns:
            logits [positions, vocabulary] in the model's dtype.

        Raises:
            UserError: the model does not end in a norm and a linear head.
        """
        return self.module.get_output_embeddings()(self._final_norm(states)).to(self.device)

    @functools.cached_property
    def _final_norm(self) -> Any:
        """The module whose output the head reads, known by that output in a pass over one token, since its name differs between models."""
        seen: list[tuple[Any, torch.Tensor]] = []

        def note(part: Any, _: Any, out: Any) -> None:
            if isinstance(out, torch.Tensor):
                seen.append((part, out))

        leaves = [part for part in self.module.base_model.modules() if next(part.children(), None) is None]
        hooks = [part.register_forward_hook(note) for part in leaves]
        try:
            out = self.module(
                input_ids=torch.zeros(1, 1, dtype=torch.int64, device=self.device), use_cache=False, output_hidden_states=True
            )
        finally:
            for hook in hooks:
                hook.remove()
        last, head = out.hidden_states[-1], self.module.get_output_embeddings()
        ends = [part for part, made in seen if made.shape == last.shape and torch.equal(made.to(self.device), last)]
        if not ends or head is None or not torch.allclose(head(last).to(self.device).float(), out.logits.float()):
            raise UserError("The logit lens needs a model whose logits are a final norm and an output head; this one's are more or less.")
        return ends[-1]

    @torch.inference_mode()
    def next(self, ids: torch.Tensor, cache: Any = None) -> tuple[torch.Tensor, Any]:
        """Logits [items, vocabulary] after the last of ``ids``, which follow the tokens that the cache holds, and the grown cache."""
        options = {"logits_to_keep": 1} if self._selects else {}
        out = self.module(input_ids=ids, past_key_values=cache, use_cache=True, **options)
        return out.logits[:, -1], out.past_key_values

    def release(self) -> None:
        """Give back the memory that the allocator keeps for later."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def load(folder: Path, dtype: str, device: str = "auto", threads: int | None = None, gpus: int = 1) -> LanguageModel:
    """Load a checkpoint that :func:`trajectories.extraction.requests.verify` found whole.

    Args:
        folder: a Hugging Face model directory, safetensors or ``.bin`` (read with ``weights_only=True``).
        dtype: ``float32``, ``float16`` or ``bfloat16``: the precision to compute in.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads, or None to leave them as they are.
        gpus: CUDA devices that share the model, layer by layer; they must be the only ones that the process sees.

    Raises:
        UserError: the files do not hold a whole causal language model, or it does not fit into memory.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_float32_matmul_precision("highest")
    if threads is not None:
        torch.set_num_threads(threads)
    target = choose_device(device)
    several: dict[str, Any] = {}
    if target.type == "cuda" and gpus > 1:
        if not transformers.utils.is_accelerate_available():
            raise UserError("A model that is spread over several GPUs needs the package accelerate; install it, or ask for one GPU.")
        several = {"device_map": "balanced"}
    try:
        module, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True, output_loading_info=True, **several
        )
        absent = sorted([*info["missing_keys"], *(str(k[0]) for k in info.get("mismatched_keys", ()))])
        if absent:  # transformers would fill them with random numbers
            raise UserError(
                f"The weights in '{folder}' lack '{absent[0]}' in the shape that config.json asks for; fetch or train it again."
            )
        if {"cpu", "disk"} & {str(place) for place in getattr(module, "hf_device_map", {}).values()}:
            raise UserError(
                f"The model in '{folder}' does not fit into the memory of {gpus} GPUs; ask for more, or choose a narrower 'dtype'."
            )
        return LanguageModel(module, target)
    except torch.OutOfMemoryError as error:
        raise UserError(f"The model in '{folder}' does not fit into the memory of {target}; choose another device.") from error
    except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"'{folder}' holds no loadable language model ({reason}); fetch or train it again.") from error
    except Exception as error:
        if type(error).__name__ not in {"SafetensorError", "UnpicklingError"}:
            raise
        raise UserError(f"The weights in '{folder}' are damaged ({error}); fetch or train the checkpoint again.") from error
