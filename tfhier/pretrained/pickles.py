"""Pickles of checkpoints, read without doing what they ask for.

A pickle is a program: its opcodes import what they name and call it. Two gates stand in
front of that. `_scan` walks the opcodes without running them and refuses a pickle that
is cut, endless or built to exhaust time or memory. The unpickler then knows no global
but the stand-ins of `standins`, so nothing outside this package can be called.
"""

import pickle
import pickletools
from pathlib import Path
from typing import BinaryIO

from tfhier.errors import InputError
from tfhier.pretrained import standins

# A checkpoint has some 50 opcodes a tensor; a list of numbers one a number.
MAX_OPCODES = 2_000_000
# Tuples cache no hash: nested ones that name each other twice double the time of a
# look-up with every level, and deep ones exhaust the stack.
MAX_KEY_PARTS = 100

_FAULTS = (
    pickle.UnpicklingError, ValueError, TypeError, AttributeError, KeyError, IndexError,
    EOFError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip
_MARK = 0  # on the stack of sizes, where every object has at least 1
# Where the keys, or elements that are hashed as keys are, lie among what these take.
_KEYS = {
    "SETITEM": slice(1, None, 2),
    "SETITEMS": slice(1, None, 2),
    "DICT": slice(0, None, 2),
    "ADDITEMS": slice(1, None),
    "FROZENSET": slice(0, None),
}
_FOREIGN = ("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER")


def load(data: BinaryIO, path: Path) -> tuple[object, dict[str, standins.Storage]]:
    """Read one pickle as plain objects, records of tensors and inert objects.

    Args:
        data: binary file at the pickle's first byte; it is left behind its last. A file
            in memory, for which to ask for more bytes than there are costs nothing.
        path: Path. Of the checkpoint, for messages.

    Returns:
        (object, storages by key).

    Raises:
        InputError: The pickle is damaged or hostile, or names a global without a
            stand-in.
    """
    start = data.tell()
    try:
        _scan(data)
        data.seek(start)
        unpickler = _Unpickler(data, path)
        content = unpickler.load()
    except InputError:
        raise
    except _FAULTS as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path} is no readable checkpoint: its pickle is cut, damaged or of an "
            f"unknown kind ({reason!s:.200}). Fetch it again, or save its state_dict "
            "anew with torch.save."
        ) from None
    return content, unpickler.storages


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins alone, and remembers the storages that a pickle names."""

    def __init__(self, data: BinaryIO, path: Path):
        # Text of Python 2 can be bytes; latin1 takes any and keeps ASCII.
        super().__init__(data, encoding="latin1")
        self._path = path
        self.storages: dict[str, standins.Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        found = standins.find(module, name)
        if found is None:
            raise InputError(
                f"{self._path} asks for {f'{module}.{name}'!r:.100}, which the tensors "
                "of a network do not need. Nothing was executed. If it holds a whole "
                "network, or objects of its training script, and you trust it, load it "
                "in PyTorch and save the tensors alone: "
                "torch.save(network.state_dict(), 'weights.pth')."
            )
        return found

    def persistent_load(self, token: object) -> standins.Storage:
        is_storage = (
            isinstance(token, tuple)
            and len(token) in (5, 6)
            and token[0] == "storage"
            and isinstance(token[1], standins.StorageType)
            and isinstance(token[2], str)
            and type(token[4]) is int
            and token[4] >= 0
        )
        if not is_storage:
            raise pickle.UnpicklingError("it names something that is no storage")
        if token[5:] not in ((), (None,)):
            raise pickle.UnpicklingError("it names a part of a storage")
        new = standins.Storage(token[2], token[1].dtype, token[4])
        known = self.storages.setdefault(new.key, new)
        if (known.dtype, known.num_elements) != (new.dtype, new.num_elements):
            raise pickle.UnpicklingError(f"storage {new.key!r:.40} is declared twice")
        return known


def _scan(data: BinaryIO) -> None:
    """Walk a pickle's opcodes without running them.

    Raises:
        pickle.UnpicklingError: It would take more time or memory than a checkpoint.
        One of `_FAULTS`: It is damaged.
    """
    stack: list[int] = []
    memo: dict[int, int] = {}
    frame_end = 0
    for count, (opcode, argument, place) in enumerate(pickletools.genops(data)):
        if count == MAX_OPCODES:
            raise pickle.UnpicklingError(f"it has more than {MAX_OPCODES:,} opcodes")
        if opcode.name in _FOREIGN:
            raise pickle.UnpicklingError(f"it uses the opcode {opcode.name}")
        if opcode.name == "FRAME":
            # The unpickler reads a frame as a whole, so nested ones add up.
            if place < frame_end:
                raise pickle.UnpicklingError("its frames overlap")
            frame_end = place + 9 + argument
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not (
            0 <= argument <= count
        ):
            # The unpickler makes room for every place up to this one.
            raise pickle.UnpicklingError(f"its memo has a place {argument}")
        _weigh(opcode, argument, stack, memo)


def _weigh(
    opcode: pickletools.OpcodeInfo,
    argument: object,
    stack: list[int],
    memo: dict[int, int],
) -> None:
    """Do to a stack of sizes what an opcode does to the stack of objects.

    A tuple's size is the number of objects that its hash looks at; that of any other
    object is 1.

    Raises:
        pickle.UnpicklingError: A key is too large, or the stack is used wrongly.
    """
    name = opcode.name
    if name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "DUP":
        stack.append(stack[-1])
    elif name == "POP":
        stack.pop()  # also a mark
    else:
        taken = _take(opcode, stack)
        if max(taken[_KEYS.get(name, slice(0))], default=0) > MAX_KEY_PARTS:
            raise pickle.UnpicklingError("a key is a tuple of too many parts")
        size = 1 + sum(taken) if name.startswith("TUPLE") else 1
        stack.extend([min(size, MAX_KEY_PARTS + 1)] * len(opcode.stack_after))


def _take(opcode: pickletools.OpcodeInfo, stack: list[int]) -> list[int]:
    """Take from the stack what an opcode takes, without the mark."""
    before = opcode.stack_before
    num_below = len(before)
    above = []
    if pickletools.markobject in before:
        num_below = before.index(pickletools.markobject)
        while (size := stack.pop()) != _MARK:
            above.append(size)
    if num_below > len(stack):
        raise pickle.UnpicklingError("it takes more than there is")
    below = stack[len(stack) - num_below :]
    del stack[len(stack) - num_below :]
    if _MARK in below:
        raise pickle.UnpicklingError("it takes a mark for an object")
    return below + above[::-1]
