"""Text out of documents: PDF, Word and HTML by well-kept readers, everything else as it is. One file in memory."""

import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from estimator.errors import InvalidInput, MissingExtra, clipped
from estimator.files import MOST_UNPACKED, read_bytes

SCANNED_BELOW = 20  # characters of text on a page that holds pictures: they are what is to be read
UNSEEN = ("script", "style", "template")


class Document(NamedTuple):
    """Text of a document; pages as far as it has any [1], and those of them that are pictures of text [1]."""

    text: str
    pages: int | None = None
    scanned: int = 0


def read_document(path: Path) -> Document:
    """What a file says. Raises InvalidInput where it is damaged or locked, MissingExtra where its reader is missing."""
    content = read_bytes(path, "text")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        return Document(content.decode("utf-8", "replace"))
    try:
        return reader(content)
    except (InvalidInput, MissingExtra):
        raise
    except Exception as error:  # readers of foreign formats raise whatever they stumble over
        raise InvalidInput(f"cannot read {clipped(path.name)}: {clipped(str(error) or type(error).__name__)}") from None


def _pdf(content: bytes) -> Document:
    reader = _library("pypdf", "pypdf")
    logging.getLogger("pypdf").addHandler(logging.NullHandler())  # what it mends is not printed, unless somebody asks
    found = reader.PdfReader(io.BytesIO(content))
    if found.is_encrypted and not found.decrypt(""):
        raise InvalidInput("a PDF is locked by a password: unlock it, or leave it out of the corpus")
    texts = [page.extract_text() or "" for page in found.pages]
    bare = [page for page, text in zip(found.pages, texts, strict=True) if len(text.strip()) < SCANNED_BELOW]
    return Document("\n".join(texts), len(texts), sum("/XObject" in (page.get("/Resources") or {}) for page in bare))


def _docx(content: bytes) -> Document:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        if sum(part.file_size for part in parts.infolist()) > MOST_UNPACKED:
            raise InvalidInput("a Word document is too large once unpacked: leave it out of the corpus")
    found = _library("docx", "python-docx").Document(io.BytesIO(content))
    cells = [cell.text for table in found.tables for row in table.rows for cell in row.cells]
    return Document("\n".join([*(paragraph.text for paragraph in found.paragraphs), *cells]))


class _Seen(HTMLParser):
    """The words of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.hidden += tag in UNSEEN

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in UNSEEN and self.hidden > 0

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            self.words.append(data.strip())


def _html(content: bytes) -> Document:
    seen = _Seen()
    seen.feed(content.decode("utf-8", "replace"))
    return Document("\n".join(seen.words))


def _library(module: str, name: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(name, "documents") from None


READERS: Mapping[str, Callable[[bytes], Document]] = {".pdf": _pdf, ".docx": _docx, ".html": _html, ".htm": _html}
