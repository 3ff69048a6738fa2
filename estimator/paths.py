"""Where the data folders lie: inside the package once installed from a wheel, beside it in a checkout."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def data_folder(name: str) -> Path:
    """`hardware` or `calibration`."""
    packaged = PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name


def presets() -> Path:
    """Facts that are neither machines nor measurements."""
    return PACKAGE / "presets"
