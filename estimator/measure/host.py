"""What feeds the accelerator: how fast files are read and text is cut into tokens on this machine."""

import os
import tempfile
import time
from pathlib import Path

from estimator.catalog.files import Content

FILE_BYTES, BLOCK_BYTES = 64_000_000, 4_000_000
WORDS = ("the", "training", "of", "language", "models", "needs", "data", "and", "tokens", "are", "counted", "17", "x_i")


def loading(folder: Path) -> Content:
    """Rates of data loading: of a disk (the one that holds `folder`) [B/s], and of a tokenizer [token/s]."""
    return {"disk_bytes_per_s": disk_bytes_per_s(folder), "tokens_per_s": tokens_per_s()}


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
