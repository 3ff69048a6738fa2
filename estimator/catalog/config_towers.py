"""Towers beside a text model, which turn images or sound into rows like those of tokens: their weights, roughly.

They take memory and no time here: what a request's images or sound cost is not asked.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Config = Mapping[str, Any]

KEYS: Mapping[str, tuple[str, ...]] = {
    "width": ("embed_dim", "hidden_size", "d_model", "width"),
    "layers": ("num_hidden_layers", "depth", "encoder_layers", "num_layers", "n_layers", "layers"),
    "ffn": ("intermediate_size", "encoder_ffn_dim", "mlp_dim"),
    "ratio": ("mlp_ratio",),
    "patch": ("patch_size",),
    "frames": ("temporal_patch_size",),
    "image": ("image_size",),
    "merged": ("spatial_merge_size",),
    "out": ("out_hidden_size",),
}
WORDS = ("vision", "audio", "vit", "speech", "sound")
CHANNELS, MOST = 3, 10_000_000  # of a picture; a number beyond is no size of a tower


def towers(whole: Config, defaults: Mapping[str, Config]) -> Iterator[tuple[str, Config]]:
    """What stands beside the text in a config, completed by its class."""
    for key, part in whole.items():
        if isinstance(part, dict) and any(word in key for word in WORDS):
            yield (
                key.removesuffix("_config").replace("_", " "),
                {**defaults.get(str(part.get("model_type")), {}), **part},
            )


def tower_params(part: Config, text_width: int, gated: bool) -> int | None:
    """Parameters of one tower and of what joins it to the text, within some per cent [1]; None if it says no sizes.

    >>> sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096, "patch_size": 14}
    >>> tower_params(sizes, 4096, False)
    323883008
    """
    size = {name: _first(part, keys) for name, keys in KEYS.items()}
    width, layers = size["width"], size["layers"]
    if not width or not layers:
        return None
    ffn = size["ffn"] or int((size["ratio"] or 4) * width)
    block = 4 * width * width + (3 if gated else 2) * width * ffn + 9 * width + ffn
    patch = size["patch"] or 0
    rows = CHANNELS * patch * patch * (size["frames"] or 1)
    places = (size["image"] // patch) ** 2 if size["image"] and patch else 0
    return int(layers * block + (rows + places) * width + _joint(width, size["merged"], size["out"] or text_width))


def _joint(width: int, merged: int | None, out: int) -> int:
    """Two layers from the tower's rows, of some merged ones, to the text's."""
    inside = width * (merged or 1) ** 2
    return inside * (inside if merged else out) + (inside if merged else out) * out


def _first(part: Config, keys: tuple[str, ...]) -> Any:
    found = (part.get(key) for key in keys)
    numbers = (each for each in found if isinstance(each, int | float) and not isinstance(each, bool))
    return next((each for each in numbers if 0 < each <= MOST), None)
