"""A specification as a picture: SVG and PNG by vl-convert (extra `plot`), light or dark, and what a notebook shows."""

import json
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from estimator.charts.grammar import INK, Spec
from estimator.errors import InvalidInput, MissingExtra, UnknownName
from estimator.files import whole

# Paper and ink, those of the pages: a picture is no patch there.
THEMES: dict[str, tuple[str, str]] = {"light": ("#ffffff", "#16191d"), "dark": ("#14171a", "#e9ecef")}
VEGA_LITE = "5.21"  # of the renderer
MIME = "application/vnd.vegalite.v5+json"
SCALE = 2.0  # of PNG: for screens of twice the density
DRAWN = (".svg", ".png")


def themed(spec: Spec, theme: str) -> Spec:
    """The specification on its own paper, in its own ink."""
    if theme not in THEMES:
        raise UnknownName("theme", theme, THEMES, f"Themes are {', '.join(THEMES)}.")
    paper, ink = THEMES[theme]
    found: Spec = json.loads(json.dumps(spec).replace(f'"{INK}"', f'"{ink}"'))
    found["config"]["background"] = paper
    return found


def svg(spec: Spec) -> str:
    """A picture as SVG text, for a page: it takes the page's ink and paper."""
    return _svg(json.dumps(spec))


@lru_cache(64)
def _svg(text: str) -> str:
    drawn = str(_renderer().vegalite_to_svg(text, vl_version=VEGA_LITE))
    return drawn.replace('xmlns:xlink="http://www.w3.org/1999/xlink" ', "")


def png(spec: Spec, theme: str = "light", scale: float = SCALE) -> bytes:
    """A picture as PNG."""
    drawn: bytes = _renderer().vegalite_to_png(themed(spec, theme), vl_version=VEGA_LITE, scale=scale)
    return drawn


def save(spec: Spec, path: str, theme: str = "light") -> None:
    """Write a picture; the file's name ends in .svg or .png."""
    style = Path(path).suffix.lower()
    if style not in DRAWN:
        raise InvalidInput(f"cannot draw {path!r}: name a file that ends in .svg or .png")
    drawn = png(spec, theme) if style == ".png" else svg(themed(spec, theme)).encode()
    with whole(path) as beside:
        beside.write_bytes(drawn)


def bundle(spec: Spec) -> dict[str, Any]:
    """What a notebook shows of a picture: the specification, which it draws by itself."""
    return {MIME: themed(spec, "light")}


def _renderer() -> ModuleType:
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra("vl-convert-python", "plot") from None
    found: ModuleType = vl_convert
    return found
