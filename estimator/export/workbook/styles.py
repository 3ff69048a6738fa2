"""Cell styles of one workbook added to another's, so that its own keep their places."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

from estimator.errors import InvalidInput

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
INSIDE_TAG = r"""(?:[^<>"']|"[^"]*"|'[^']*')*?"""  # up to the end of a tag; quoted text may hold its signs
FIRST_OWN_FORMAT = 164  # number formats below are built in


class Styles:
    """A styles part as text, to which elements are only appended; what is there already is used again."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[str, list[str]] = {}  # by section, in the form in which they compare

    def merged(self, other: str) -> dict[int, int]:
        """Append what `other` has; returns where each of its cell formats is now."""
        formats = {number: self._number_format(code) for number, code in _number_formats(other).items()}
        places = {
            section: [self._place(section, element) for element in elements(other, section)]
            for section in ("fonts", "fills", "borders")
        }
        return {
            index: self._place("cellXfs", _moved(xf, formats, places))
            for index, xf in enumerate(elements(other, "cellXfs"))
        }

    def _place(self, section: str, element: str) -> int:
        if section not in self._known:
            self._known[section] = [ET.canonicalize(_alone(entry)) for entry in elements(self.text, section)]
        known, wanted = self._known[section], ET.canonicalize(_alone(element))
        if wanted not in known:
            known.append(wanted)
            self._append(section, element, len(known))
        return known.index(wanted)

    def _append(self, section: str, element: str, count: int) -> None:
        opening = re.search(rf"<{section}\b{INSIDE_TAG}(/?)>", self.text)
        if opening is None or opening[1]:
            raise InvalidInput(
                f"the workbook's styles have no {section}: open and save it once in a spreadsheet program"
            )
        head = re.sub(r'\bcount="\d+"', f'count="{count}"', opening[0])
        closing = self.text.index(f"</{section}>", opening.end())
        self.text = (
            self.text[: opening.start()] + head + self.text[opening.end() : closing] + element + self.text[closing:]
        )

    def _number_format(self, code: str) -> int:
        """The number of a number format, by its code."""
        known = _number_formats(self.text)
        for number, there in known.items():
            if there == code:
                return number
        number = max([FIRST_OWN_FORMAT - 1, *known]) + 1
        element = f'<numFmt numFmtId="{number}" formatCode="{_escaped(code)}"/>'
        if re.search(r"<numFmts\b[^>]*[^/]>", self.text):
            self._append("numFmts", element, len(known) + 1)
        else:
            bare = re.sub(r"<numFmts\b[^>]*/>", "", self.text)
            self.text = re.sub(
                r"(<styleSheet\b[^>]*>)", lambda at: f'{at[1]}<numFmts count="1">{element}</numFmts>', bare, count=1
            )
        return number


def elements(text: str, section: str) -> list[str]:
    """The elements of a section of a styles part, each as it stands there."""
    found = re.search(rf"<{section}\b{INSIDE_TAG}(?:/>|>(.*?)</{section}>)", text, re.S)
    inside = found[1] if found and found[1] else ""
    cut: list[str] = []
    depth = start = 0
    for tag in re.finditer(rf"<(/?){INSIDE_TAG}(/?)>", inside):
        if tag[0].startswith(("<!--", "<?")):
            continue
        if depth == 0 and not tag[1]:
            start = tag.start()
        depth += (0 if tag[2] else 1) if not tag[1] else -1
        if depth == 0:
            cut.append(inside[start : tag.end()])
    return cut


def _alone(element: str) -> str:
    """An element that can be parsed by itself: any prefix it uses is bound."""
    prefixes = set(re.findall(r"[<\s/](\w+):\w+", element)) - {"xml", "xmlns"}
    bound = "".join(f' xmlns:{prefix}="urn:{prefix}"' for prefix in sorted(prefixes))
    return f'<x xmlns="{MAIN}"{bound}>{element}</x>'


def _number_formats(text: str) -> dict[int, str]:
    entries = [ET.fromstring(_alone(entry))[0] for entry in elements(text, "numFmts")]
    return {int(entry.attrib["numFmtId"]): entry.attrib["formatCode"] for entry in entries}


def _moved(xf: str, formats: dict[int, int], places: dict[str, list[int]]) -> str:
    def attribute(name: str, where: Callable[[int], int], text: str) -> str:
        return re.sub(rf'\b{name}="(\d+)"', lambda found: f'{name}="{where(int(found[1]))}"', text, count=1)

    xf = attribute("numFmtId", lambda number: formats.get(number, number), xf)
    for name, section in (("fontId", "fonts"), ("fillId", "fills"), ("borderId", "borders")):
        xf = attribute(name, places[section].__getitem__, xf)
    return xf


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
