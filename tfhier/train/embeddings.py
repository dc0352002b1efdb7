"""Embeddings of all clips by a frozen backbone, computed once and kept.

A head that is trained on them takes seconds, where the backbone takes minutes for every
pass. They lie in the cache folder, named by a digest of the decoded samples and of the
model, and may be deleted at any time.
"""

import hashlib
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from tfhier import console, saved, tagger
from tfhier.data.download import checksum
from tfhier.data.waveforms import Waveforms
from tfhier.files import (
    cache_folder,
    locked,
    replacing,
    require_space,
    write_text,
)
from tfhier.network_digest import network_digest

# Clips of one file on the way there: what a kill costs at most.
BLOCK = 128
_BATCH_SIZE = 16


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A source of embeddings, float32 (clips, ...), made when they are first needed.

    Args:
        model: Path of the saved tagger whose front end and backbone embed.
        waveforms: Waveforms of the clips, at the sample rate of the model.
    """

    model: Path
    waveforms: Waveforms

    def fetch(self, indices, *, offsets=None, num_samples=None) -> np.ndarray:
        """Return float32 (len(indices), ...); embeddings are never cropped."""
        return np.asarray(self.values[indices])

    @cached_property
    def values(self) -> np.ndarray:
        """All embeddings, read from disk when they are asked for.

        A call that was killed goes on where it was. A second process that wants the
        same embeddings waits for the first. Files that were altered are made anew.
        """
        of = hashlib.sha256(
            f"{self.waveforms.digest} {network_digest(self.model)}".encode()
        )
        place = cache_folder("embeddings") / f"{of.hexdigest()[:16]}.npy"
        if not _is_whole(place):
            with locked(place.with_suffix(".lock"), task="embedding", wait=True):
                if not _is_whole(place):
                    self._make(place)
        return np.load(place, mmap_mode="r", allow_pickle=False)

    def _make(self, place: Path) -> None:
        """Compute the embeddings block by block and join the blocks."""
        model = saved.read(self.model)
        embed = tagger.end_to_end(
            tagger.frontend_of(model), tagger.backbone_of(tagger.body_of(model))
        )
        num_clips = len(self.waveforms.samples)
        console.line(
            "embed", f"{num_clips} clips, once for all runs; kept in {place.parent}"
        )
        blocks = place.with_suffix(".blocks")
        starts = range(0, num_clips, BLOCK)
        with tqdm(total=num_clips, desc="embed", unit="clip", disable=None) as bar:
            for start in starts:
                rows = np.arange(start, min(start + BLOCK, num_clips))
                block = blocks / f"{start}.npy"
                if not _is_readable(block):
                    values = self._embed(embed, rows)
                    if not start:
                        require_space(place.parent, 2 * num_clips * values[0].nbytes)
                    with replacing(block) as temporary:
                        np.save(temporary, values)
                bar.update(len(rows))
        first = np.load(blocks / "0.npy", allow_pickle=False)
        with replacing(place) as temporary:
            joined = np.lib.format.open_memmap(
                temporary, "w+", np.float32, (num_clips, *first.shape[1:])
            )
            for start in starts:
                block = np.load(blocks / f"{start}.npy", allow_pickle=False)
                joined[start : start + len(block)] = block
            joined.flush()
        write_text(_sum_of(place), checksum(place, method="sha256"))
        shutil.rmtree(blocks)

    def _embed(self, embed: keras.Model, rows: np.ndarray) -> np.ndarray:
        return embed.predict(
            self.waveforms.fetch(rows), batch_size=_BATCH_SIZE, verbose=0
        )


def _sum_of(place: Path) -> Path:
    """Return where the checksum of kept embeddings lies: written last of all."""
    return place.with_suffix(".sha256")


def _is_whole(place: Path) -> bool:
    """Whether embeddings are there with every byte as it was written."""
    if not place.is_file() or not _sum_of(place).is_file():
        return False
    return _sum_of(place).read_text("utf-8") == checksum(place, method="sha256")


def _is_readable(block: Path) -> bool:
    """Whether a block is there and holds an array."""
    try:
        np.load(block, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return True
