"""What feeds the accelerator: how fast files are read and text is cut into tokens on this machine."""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from estimator.catalog.files import Content

FILE_BYTES, BLOCK_BYTES = 64_000_000, 4_000_000
WORDS = ("the", "training", "of", "language", "models", "needs", "data", "and", "tokens", "are", "counted", "17", "x_i")


def loading(folder: Path) -> Content:
    """Rates of data loading: of a disk (the one that holds `folder`) [B/s], and of a tokenizer [token/s]."""
    return {"disk_bytes_per_s": disk_bytes_per_s(folder), "tokens_per_s": tokens_per_s()}


class Busy(NamedTuple):
    """CPU time until now [s]: of everybody on this machine, and of this process and its children; the clock [s]."""

    everybody_s: float
    own_s: float
    clock_s: float


def busy(stat: Path = Path("/proc/stat")) -> Busy | None:
    """CPU time until now; None where the system does not say. Source: proc(5): user, nice, system, idle, iowait, ..."""
    try:
        words = stat.read_text(encoding="ascii").splitlines()[0].split()[1:]
    except (OSError, IndexError, UnicodeError):
        return None
    user, nice, system, _, _, irq, soft, stolen, *_ = (float(word) for word in words)
    ticks = user + nice + system + irq + soft + stolen
    return Busy(ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]), time.monotonic())


def others_share(before: Busy | None, after: Busy | None, cores: int) -> float | None:
    """Share of the cores that other processes took between two readings [1]; None where nobody can say.

    >>> others_share(Busy(10.0, 1.0, 100.0), Busy(30.0, 11.0, 110.0), 2)
    0.5
    """
    if before is None or after is None:
        return None
    others = (after.everybody_s - before.everybody_s) - (after.own_s - before.own_s)
    return round(min(max(others / (cores * max(after.clock_s - before.clock_s, 1e-9)), 0.0), 1.0), 3)


def disk_bytes_per_s(folder: Path) -> float | None:
    """Sequential read of a file the system was told to forget [B/s]; None where it cannot be told to."""
    if not hasattr(os, "posix_fadvise"):
        return None
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        block = os.urandom(BLOCK_BYTES)
        for _ in range(FILE_BYTES // BLOCK_BYTES):
            file.write(block)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        start = time.perf_counter()
        while file.read(BLOCK_BYTES):
            pass
        return float(f"{FILE_BYTES / (time.perf_counter() - start):.4g}")


def tokens_per_s(characters: int = 400_000) -> float | None:
    """A byte-pair tokenizer on plain text, one thread [token/s]; None without the library `tokenizers`."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        return None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    text = " ".join(WORDS[(i * i + i // 7) % len(WORDS)] for i in range(characters // 6))
    tokenizer.train_from_iterator([text[:50_000]], trainers.BpeTrainer(vocab_size=500, show_progress=False))
    start = time.perf_counter()
    count = len(tokenizer.encode(text))
    return float(f"{count / (time.perf_counter() - start):.4g}")
