"""Today's layout, on a file that lm-evaluation-harness itself writes after a real (tiny) evaluation, without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trajectories import published
from trajectories.suites import load_suite

pytest.importorskip("lm_eval")

TASK = """
task: blimp_tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{{{[sentence_good, sentence_bad]}}}}"
num_fewshot: 0
metric_list: [{{metric: acc}}]
metadata: {{version: 1.0}}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the results that lm_eval wrote for a random GPT-NeoX at revision step3000."""
    import lm_eval
    import torch
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("harness")
    words = ["<|endoftext|>", "[UNK]", "the", "cat", "cats", "sleep", "sleeps"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>").save_pretrained(
        folder / "model"
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(words), bos_token_id=0, eos_token_id=0, **shape)).save_pretrained(folder / "model")
    pairs = [("the cat sleeps", "the cat sleep"), ("the cats sleep", "the cats sleeps")] * 6
    data = folder / "pairs.json"
    data.write_text("\n".join(json.dumps({"sentence_good": good, "sentence_bad": bad}) for good, bad in pairs))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "tiny.yaml").write_text(TASK.format(data=data))
    arguments = f"pretrained={folder / 'model'},revision=step3000,dtype=float32"
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args=arguments,
        tasks=["blimp_tiny"],
        device="cpu",
        batch_size=4,
        bootstrap_iters=100,
        task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
        evaluation_tracker=tracker,
        log_samples=True,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    return folder / "out"


@pytest.mark.slow
def test_a_file_that_the_harness_writes_today_is_read(written: Path) -> None:
    paths = list(written.rglob("results_*.json"))
    assert len(paths) == 1
    told = json.loads(paths[0].read_text())
    model = load_suite("pythia-v0-published").model("pythia-160m-v0").model_copy(update={"published": ["."], "revision_steps_per_step": 2})
    table = published.collect(model, written).table
    assert len(table) >= 1
    row = table[table["metric"] == "acc"].iloc[0]
    assert (row["task"], row["step"], row["n"], row["num_fewshot"], row["layout"]) == ("blimp_tiny", 1500, 12, 0, "current")
    assert row["value"] == told["results"]["blimp_tiny"]["acc,none"]
    assert row["stderr"] == pytest.approx((row["value"] * (1 - row["value"]) / 11) ** 0.5)
    assert set(table["metric"]) == {"acc"}


@pytest.mark.slow
def test_a_metric_behind_another_filter_keeps_the_filters_name(written: Path, tmp_path: Path) -> None:
    content = json.loads(next(written.rglob("results_*.json")).read_text())
    content["results"]["blimp_tiny"] |= {
        "exact_match,strict-match": 0.25,
        "exact_match_stderr,strict-match": "N/A",
        "acc_stderr,none": "N/A",
    }
    path = tmp_path / "results_2026-01-01T00-00-00.json"
    path.write_text(json.dumps(content))
    read = published.read_file(path, load_suite("pythia-published").model("pythia-70m"))
    assert read.step == 3000
    assert {(r.metric, r.stderr) for r in read.results} == {("acc", None), ("exact_match,strict-match", None)}
