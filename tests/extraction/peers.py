"""The peers: log-probabilities of sentences by lm-evaluation-harness and minicons, residual streams and their lens by TransformerLens."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch


def harness(module: Any, tokenizer: Any, sentences: list[str], batch: int = 64) -> np.ndarray:
    """``HFLM.loglikelihood`` of each sentence after an empty context, that is after one end-of-text token, in nats.

    Args:
        module: a transformers causal language model.
        tokenizer: its transformers tokenizer.
        sentences: plain text.
        batch: sentences per batch.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    device = next(module.parameters()).device
    with contextlib.redirect_stderr(io.StringIO()):
        scorer = HFLM(pretrained=module, tokenizer=tokenizer, backend="causal", batch_size=batch, device=str(device))
        requests = [Instance("loglikelihood", {}, ("", sentence), i) for i, sentence in enumerate(sentences)]
        return np.array([total for total, _ in scorer.loglikelihood(requests, disable_tqdm=True)])


def minicons(module: Any, tokenizer: Any, sentences: list[str], batch: int = 64) -> np.ndarray:
    """``IncrementalLMScorer.sequence_score`` with the end-of-text token in front, summed, in nats; arguments as for :func:`harness`."""
    from minicons.scorer import IncrementalLMScorer

    scorer = IncrementalLMScorer(module, str(next(module.parameters()).device), tokenizer=tokenizer)
    found: list[float] = []
    for begin in range(0, len(sentences), batch):
        part = sentences[begin : begin + batch]
        found += scorer.sequence_score(part, reduction=lambda tokens: tokens.sum(0).item(), bos_token=True)
    return np.array(found)


def crows_pairs(module: Any, tokenizer: Any, file: Path, folder: Path, batch: int = 64) -> tuple[pd.DataFrame, dict[str, float]]:
    """lm-evaluation-harness's own task CrowS-Pairs on the authors' file, whose columns are those that the task reads.

    Args:
        module, tokenizer, batch: as for :func:`harness`.
        file: the pairs as CSV.
        folder: an empty one for what the harness writes.

    Returns:
        ``sent_more, sent_less, logprob_more, logprob_less, likelihood_diff, pct_stereotype``, one row per pair, and the task's two metrics.
    """
    import datasets
    import lm_eval
    import lm_eval.tasks
    from lm_eval.models.huggingface import HFLM

    own = Path(lm_eval.tasks.__file__).parent / "crows_pairs" / "crows_pairs_english.yaml"
    local = {"dataset_path": "csv", "dataset_name": None, "dataset_kwargs": {"data_files": {"test": str(file)}}}
    task = folder / "crows_pairs.yaml"
    task.write_text(json.dumps({"include": str(own), "task": "crows_pairs_english"} | local))  # JSON is YAML
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()), pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        scorer = HFLM(pretrained=module, tokenizer=tokenizer, backend="causal", batch_size=batch, device=str(module.device))
        manager = lm_eval.tasks.TaskManager(include_defaults=False)
        found = lm_eval.simple_evaluate(scorer, tasks=[str(task)], task_manager=manager, log_samples=True, bootstrap_iters=0)
    rows = [
        {
            "sent_more": sample["doc"]["sent_more"],
            "sent_less": sample["doc"]["sent_less"],
            "logprob_more": sample["filtered_resps"][0][0],
            "logprob_less": sample["filtered_resps"][1][0],
            "likelihood_diff": sample["likelihood_diff"],
            "pct_stereotype": sample["pct_stereotype"],
        }
        for sample in sorted(found["samples"]["crows_pairs_english"], key=lambda sample: sample["doc_id"])
    ]
    metrics = found["results"]["crows_pairs_english"]
    return pd.DataFrame(rows), {name: metrics[f"{name},none"] for name in ("likelihood_diff", "pct_stereotype")}


class TransformerLens:
    """A GPT-NeoX in TransformerLens, with the weights as they are: no norm folded into its neighbours, nothing centred."""

    def __init__(self, module: Any):
        from transformer_lens.model_bridge.sources import build_bridge_from_module

        name = type(module).__name__
        self.bridge = build_bridge_from_module(copy.deepcopy(module), name, hf_config=module.config)

    @torch.inference_mode()
    def read(self, sequence: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """The residual stream [layers + 1, positions, width], its last layer through the final norm, and logits [layers + 1, positions,
        vocabulary] of all layers through norm and unembedding."""
        _, cache = self.bridge.run_with_cache(torch.tensor([sequence]))
        normed = cache.accumulated_resid(apply_ln=True)[:, 0]
        stream = torch.cat([cache.accumulated_resid()[:-1, 0], normed[-1:]])
        return stream.numpy(), self.bridge.unembed(normed).numpy()


def pair(folder: Path) -> tuple[Any, Any]:
    """A checkpoint's model in float32 and its tokenizer, as transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), AutoTokenizer.from_pretrained(folder)
