"""A file whose first bytes are replaced, without a copy of the rest."""

import io
import os
from typing import BinaryIO


class SplicedFile(io.BufferedReader):
    """A head, and behind it a file from some place on; read from the disk as needed.

    Args:
        head: bytes. What is read first.
        file: binary file. Its bytes follow; it must stay open, and is not closed.
        start: int >= 0. Where in `file` they start.
    """

    def __init__(self, head: bytes, file: BinaryIO, *, start: int):
        super().__init__(_Splice(head, file, start), buffer_size=1 << 16)

    @property
    def failure(self) -> OSError | None:
        """What went wrong at the disk: whoever reads through C sees an early end."""
        return self.raw.failure


class _Splice(io.RawIOBase):
    def __init__(self, head: bytes, file: BinaryIO, start: int):
        self.failure: OSError | None = None
        self._head, self._file, self._start = head, file, start
        self._at = 0
        self._size = len(head) + max(0, file.seek(0, os.SEEK_END) - start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        at = origin[whence] + offset
        if at < 0:
            raise OSError(f"There is no place {at} in a file.")
        self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:
        try:
            content = self._read(len(buffer))
        except OSError as error:
            self.failure = error
            return 0
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _read(self, num_bytes: int) -> bytes:
        if self._at < len(self._head):
            return self._head[self._at : self._at + num_bytes]
        self._file.seek(self._at - len(self._head) + self._start)
        return self._file.read(num_bytes)
