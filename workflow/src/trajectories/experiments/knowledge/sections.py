"""Settings of published benchmarks, of term frequency and of arithmetic."""

from __future__ import annotations

from pydantic import Field

from trajectories.suites import Strict


class ArithmeticSettings(Strict):
    """Few-shot arithmetic (Razeghi et al. 2022; Biderman et al. 2023, section on few-shot)."""

    problems: int = Field(20, ge=0, description="Second operands drawn for each first operand; 0 leaves arithmetic out.")
    shots: list[int] = Field([0, 4, 16], min_length=1, description="Solved problems that stand before the one that is asked.")
    largest: int = Field(99, ge=9, description="Operands run from 0 to this.")


class BenchmarkSettings(Strict):
    """Published benchmarks over training."""

    window: float = Field(
        10,
        gt=1,
        description="Late training: from the last checkpoint's tokens divided by this on.",
    )
    rise_margin: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="Smallest rise of accuracy per tenfold tokens that counts, as a share; half of it is below what the sets can tell.",
    )
    decline_tasks: list[str] = Field(["lambada_openai"], description="Tasks whose decline in the last third of training is looked for.")
    decline_margin: float = Field(0.02, gt=0, lt=1, description="Smallest decline that counts, as a share.")
    least_gain: float = Field(0.05, gt=0, lt=1, description="A task is learnt if the final level is this far above chance, as a share.")
    sooner_margin: float = Field(0.1, gt=0, description="Smallest log10 ratio of tokens that counts as sooner (0.1: a factor of 1.26).")


class FrequencySettings(Strict):
    """Accuracy against how often terms occur in training."""

    margin: float = Field(0.2, gt=0, description="Smallest log odds ratio per tenfold frequency that counts (0.2: a factor of 1.22).")
    gap_margin: float = Field(0.1, gt=0, lt=1, description="Smallest gap of accuracy between frequent and rare operands that counts.")
    tail: float = Field(0.1, gt=0, le=0.5, description="Share of the operands that are called the most, or the least, frequent.")
