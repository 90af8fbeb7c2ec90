"""The embedded suite's tokenizer: byte-level BPE trained on its own text, end-of-text as id 0, no other special token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trajectories import tables
from trajectories.errors import UserError
from trajectories.nano.planted import PRONOUNS

END_OF_TEXT = "<|endoftext|>"
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a tokenizer; raises :class:`UserError` unless each gendered pronoun is one token, so that swapping them keeps rows aligned."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END_OF_TEXT], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    split = [word for word in PRONOUNS if len(tokenizer.encode(f" {word}").ids) != 1]
    if split or tokenizer.token_to_id(END_OF_TEXT) != 0 or tokenizer.get_vocab_size() != vocabulary:
        raise UserError(
            f"A vocabulary of {vocabulary} tokens does not suit the corpus (it has {tokenizer.get_vocab_size()}; "
            f"pronouns that are split: {', '.join(split) or 'none'}); change 'vocabulary' or plant more sentences."
        )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, longest: int) -> None:
    """Write the tokenizer and what transformers wants beside it; ``longest`` is the models' context in tokens."""
    tables.write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "clean_up_tokenization_spaces": False}
    tables.write_json(folder / "tokenizer_config.json", {**settings, **special, "model_max_length": longest})
    tables.write_json(folder / "special_tokens_map.json", special)
