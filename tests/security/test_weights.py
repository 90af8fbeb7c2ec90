"""A checkpoint from a stranger: nothing in it runs, and nothing in it fills the memory; what is wrong with it is one sentence."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from extraction.tiny import VOCABULARY, Place, table_of
from trajectories import tables
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.verbs import stimuli

ROOM = 3 << 30
"""Bytes that a test may take more than the process has; what would take more fails."""
Edit = Callable[[Path], Any]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, **sizes)).eval()


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A memory bomb fails instead of taking the machine along."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def extract(tmp_path: Path, model: Any, marker: Path) -> Callable[..., int]:
    """Measure a checkpoint whose files were changed, as its manifest lists them; returns the number of items."""

    def run(edit: Edit, safe: bool = True) -> int:
        place = Place(tmp_path)
        folder = place.save(model, 0, safe=safe)
        edit(folder)
        manifest = tables.read_json(folder / "checkpoint.json")
        manifest["files"] = {
            p.name: {"sha256": tables.sha256(p), "size": p.stat().st_size} for p in folder.iterdir() if p.name != "checkpoint.json"
        }
        tables.write_json(folder / "checkpoint.json", manifest)
        place.show("grammar", table_of([[0, 5, 6], [0, 7]]), [{"name": "logprob", "options": {}}])
        return len(place.extract("grammar"))

    yield run
    assert not marker.exists(), "what came with the weights was run"


def refused(extract: Callable[..., int], edit: Edit, safe: bool = True) -> str:
    """The sentence with which a checkpoint is refused."""
    with pytest.raises(UserError) as raised:
        extract(edit, safe)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def config(**changes: Any) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def code(folder: Path, marker: Path) -> None:
    for name in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py"):
        (folder / name).write_text(f"import os\nos.system(\"touch '{marker}'\")\nclass Evil: pass\n")


@pytest.mark.parametrize("form", ["torch", "pickle", "hidden"])
def test_a_pickle_with_a_payload_is_refused_and_does_not_run(extract, marker: Path, form: str):
    def edit(folder: Path) -> None:
        import torch

        path = folder / "pytorch_model.bin"
        if form == "torch":
            torch.save(Payload(marker), path)
        elif form == "pickle":
            path.write_bytes(pickle.dumps(Payload(marker), protocol=2))
        else:
            torch.save({**torch.load(path, weights_only=True), "gpt_neox.extra": Payload(marker)}, path)

    assert "fetch or train" in refused(extract, edit, safe=False)


def test_no_variable_of_the_environment_lets_a_pickle_run(extract, marker: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert "fetch or train" in refused(extract, lambda folder: torch.save(Payload(marker), folder / "pytorch_model.bin"), safe=False)


def test_compressed_tensors_are_refused(extract):
    def edit(folder: Path) -> None:
        path = folder / "pytorch_model.bin"
        with zipfile.ZipFile(path) as old:
            content = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, data in content.items():
                new.writestr(name, data)

    assert "compressed" in refused(extract, edit, safe=False)


def test_code_beside_the_weights_is_not_run(extract, marker: Path):
    classes = {
        "AutoConfig": "configuration_evil.Evil",
        "AutoModelForCausalLM": "modeling_evil.Evil",
        "AutoTokenizer": ["tokenization_evil.Evil"] * 2,
    }

    def edit(folder: Path) -> None:
        code(folder, marker)
        config(auto_map=classes)(folder)
        template = "{{ cycler.__init__.__globals__.os.system('touch " + str(marker) + "') }}"
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"auto_map": classes, "tokenizer_class": "Evil", "chat_template": template})
        )
        (folder / "generation_config.json").write_text(json.dumps({"custom_generate": str(folder), "_from_model_config": 7}))

    assert extract(edit) == 2


def test_a_model_that_only_its_own_code_knows_is_refused(extract, marker: Path):
    classes = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}

    def edit(folder: Path) -> None:
        code(folder, marker)
        config(auto_map=classes, model_type="evil", architectures=["Evil"])(folder)

    assert "no model that can be built here" in refused(extract, edit)


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "kernels-community/flash-attn2"},
        {"_attn_implementation": "paged|somebody/kernel"},
        {"_attn_implementation": "flash_attention_2"},  # a kernel of the Hub stands in for it
        {"_attn_implementation": {"": "eager", "text_config": "somebody/kernel"}},
        {"_attn_implementation": ["somebody/kernel"]},
        {"experts_implementation": "sonicmoe"},
        {"text_config": {"_attn_implementation_internal": "somebody/kernel"}},
        {"use_kernels": True},
        {"kernel_config": {"kernel_mapping": {"RMSNorm": "somebody/kernel"}}},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"transformers_weights": "../../other.safetensors"},
    ],
    ids=str,
)
def test_a_configuration_that_asks_for_code_or_files_from_elsewhere_is_refused(extract, changes: dict[str, Any]):
    assert "from elsewhere" in refused(extract, config(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"_attn_implementation_autoset": True},
        {"attn_implementation": None},
        {"_attn_implementation": "eager"},
        {"_attn_implementation": "sdpa"},
        {"_attn_implementation": {"": "eager"}},
        {"experts_implementation": None},
        {"conv_kernel": 4},
        {"use_mamba_kernels": True},
        {"use_kernels": False},
        {"quantization_config": None},
        {"rope_theta": 100_000_000},
        {"rotary_emb_base": 100_000_000},
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25, "rope_theta": 100_000_000}},
    ],
    ids=str,
)
def test_an_ordinary_configuration_is_not_taken_for_a_hostile_one(extract, changes: dict[str, Any]):
    assert extract(config(**changes)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 10**9},
        {"vocab_size": 10**9},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**6},
        {"num_attention_heads": 10**7},
        {"num_attention_heads": 0},
        {"intermediate_size": 10**7},
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1e8, "rope_theta": 10000}},
        {"vocab_size": -1},
        {"hidden_size": "32; import os"},
        {"hidden_size": None},
        {"hidden_act": "os.system"},
        {"model_type": "../../evil"},
        {"model_type": ["gpt_neox"]},
        {"num_labels": 10**9},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10**4000}},
    ],
    ids=str,
)
def test_a_configuration_with_absurd_sizes_is_refused_before_anything_is_built(extract, changes: dict[str, Any]):
    assert "config.json" in refused(extract, config(**changes))


@pytest.mark.parametrize("content", ["[]", "{", '{"a":' * 200_000, "", "\ud800"], ids=["list", "half", "deep", "empty", "no text"])
def test_a_configuration_that_is_no_mapping_is_refused(extract, content: str):
    assert "config.json" in refused(extract, lambda folder: (folder / "config.json").write_text(content, errors="surrogatepass"))


def tensors(header: Any, data: bytes = b"\0" * 64, length: int | None = None) -> Edit:
    """Put a safetensors file with this header in place."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    whole = struct.pack("<Q", len(text) if length is None else length) + text + data
    return lambda folder: (folder / "model.safetensors").write_bytes(whole)


def of(start: int, stop: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(stop - start) // 4] if shape is None else shape, "data_offsets": [start, stop]}


HEADERS: dict[str, Edit] = {
    "length 2^63": tensors({}, length=2**63),
    "length 2^31": tensors({}, length=2**31),
    "length 0": tensors({}, length=0),
    "overlap": tensors({"a": of(0, 64), "b": of(32, 64)}),
    "the same bytes": tensors({"a": of(0, 64), "b": of(0, 64)}),
    "negative": tensors({"a": of(-64, 0)}),
    "beyond the end": tensors({"a": of(0, 2**40)}),
    "overflow": tensors({"a": of(0, 64, [2**40, 2**40])}),
    "negative shape": tensors({"a": of(0, 64, [-16])}),
    "type": tensors({"a": of(0, 64, dtype="PICKLE")}),
    "format": tensors({"a": of(0, 64), "__metadata__": {"format": "os.system"}}),
    "name": tensors({"../../a": of(0, 64)}),
    "deep": tensors(b'{"a":' * 100_000),
    "no text": tensors(b"\xff\xfe"),
    "empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
}


@pytest.mark.parametrize("edit", HEADERS.values(), ids=HEADERS)
def test_a_hostile_header_of_weights_is_refused(extract, edit: Edit):
    assert "fetch" in refused(extract, edit)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0",
        b"[" * 200_000,
        b'{"version": "1.0"}',
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 4294967296}, "merges": []}}',
        b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["b c"]}}',
        b'{"version": "1.0", "model": {"type": "os.system", "vocab": {}}}',
        b'{"version": "1.0", "added_tokens": [{"id": 99999999, "content": "", "single_word": false, "lstrip": false, "rstrip": false, '
        b'"normalized": false, "special": true}], "model": {"type": "BPE", "vocab": {}, "merges": []}, "pre_tokenizer": '
        b'{"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}}',
    ],
    ids=["empty", "no text", "deep", "no model", "negative id", "large id", "strange merge", "type", "pattern"],
)
def test_a_tokenizer_with_odd_content_is_one_sentence(tmp_path: Path, content: bytes):
    place = Place(tmp_path)
    suite = place.suite.model_copy(update={"source": "hub", "tokenizer": "owner/tiny", "tokenizer_copy": "tokenizer.json"})
    (tmp_path / "tokenizer.json").write_bytes(content)
    settings = place.settings.__class__(suite, {"pairs": 3}, 0, {}, "0" * 16)
    context = stimuli.context(settings, place.layout, Machine(data_dir=tmp_path), "grammar", lambda path: None)
    with pytest.raises(UserError, match="is no tokenizer"):
        context.tokenizer()
