"""The peers: sums of log-probabilities of whole sentences by lm-evaluation-harness and by minicons."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np


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


def pair(folder: Path) -> tuple[Any, Any]:
    """A checkpoint's model in float32 and its tokenizer, as transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), AutoTokenizer.from_pretrained(folder)
