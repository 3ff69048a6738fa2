"""The built site, checked: every link leads to a page and a place on it, and nothing is loaded from elsewhere."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
STYLE_LOADS = re.compile(r"""(?:url\(\s*|@import\s+)['"]?((?:https?:)?//[^'")\s;]+)""")
LOADING = {"script", "img", "iframe", "source", "video", "audio", "embed", "object", "link", "track", "use", "image"}
SAID_ONLY = {"canonical", "alternate", "author", "license", "index", "search", "next", "prev", "up"}  # rel of <link>


class Page(HTMLParser):
    """What a page names: places on it, links, and what the browser fetches by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Sort one tag's attributes."""
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADING and not SAID_ONLY & set(given.get("rel", "").split()):
            self.loads += [given[name] for name in ("src", "href", "data", "xlink:href", "poster") if given.get(name)]
            self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]


def faults(folder: Path) -> list[str]:
    """One line for each dead link and each thing loaded from elsewhere."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    found = [f"{path.relative_to(folder.resolve())}: {fault}" for path in pages for fault in _of_page(path, pages)]
    for path in sorted(folder.rglob("*.css")):
        found += [f"{path.name} loads {url}" for url in STYLE_LOADS.findall(path.read_text(encoding="utf-8"))]
    return found


def _of_page(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    page = pages[path]
    yield from (f"loads {url}" for url in page.loads if ELSEWHERE.match(url))
    for link in [*page.links, *page.loads]:
        url = urlsplit(link)
        if url.scheme or url.netloc or link in ("", "#"):
            continue
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        if not target.is_file():
            yield f"dead link {link}"
        elif url.fragment and target in pages and unquote(url.fragment) not in pages[target].places:
            yield f"no such place {link}"
