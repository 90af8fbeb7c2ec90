"""Training orders: which token sequence is trained on at which step, in Megatron's MMIDIDX format, local or on the Hub."""

from trajectories.orders.reader import RowReader, open_order

__all__ = ["RowReader", "open_order"]
