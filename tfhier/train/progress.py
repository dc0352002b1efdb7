"""What training tells those who wait for it."""

from typing import Protocol


class Progress(Protocol):
    """What a progress display is told (`console.TrainingBar` is one)."""

    def begin(self, epoch: int) -> None:
        """Training begins, with this epoch (above 0 when it resumes)."""

    def step(self, epoch: int, loss: float) -> None:
        """A training step is done."""

    def epoch(self, row: dict) -> None:
        """An epoch is done: a row of the history."""
