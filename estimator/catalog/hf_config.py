"""The shape of a language model read from a Hugging Face config.json."""

from pathlib import Path

from estimator.errors import InvalidInput
from estimator.records import Architecture


def read_config(path: Path) -> Architecture:
    """To be replaced within the hour."""
    raise InvalidInput(f"{path} cannot be read yet")
