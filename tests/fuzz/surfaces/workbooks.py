"""`export --into`: somebody's workbook, damaged or strange; it is refused whole, or stays whole."""

import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz import files
from tests.fuzz.answers import command, outcome
from tests.fuzz.trial import Trial

SHARE = 18
ASK = ("--api", "openai:gpt-4o-mini")
TARGET = "book.xlsx"
RELS = "xl/_rels/workbook.xml.rels"


def _parts(change: Callable[[dict[str, str]], object]) -> Callable[[], None]:
    def make() -> None:
        parts = files.book('<row r="1"><c r="A1"><v>5</v></c></row>')
        change(parts)
        files.zipped(TARGET, parts)

    return make


def _replaced(part: str, old: str, new: str) -> Callable[[], None]:
    return _parts(lambda parts: parts.update({part: parts[part].replace(old, new)}))


def _set(part: str, text: str) -> Callable[[], None]:
    return _parts(lambda parts: parts.update({part: text}))


def _dropped(part: str) -> Callable[[], None]:
    return _parts(lambda parts: parts.pop(part))


def _broken(spoil: Callable[[str, str], None], part: str) -> Callable[[], None]:
    def make() -> None:
        _parts(lambda _: None)()
        spoil(TARGET, part)

    return make


def _named(name: str) -> Callable[[], None]:
    names = f'<definedNames><definedName name="{name}">Data!$A$1</definedName></definedNames></workbook>'
    return _replaced("xl/workbook.xml", "</workbook>", names)


def _bomb(part: str) -> Callable[[], None]:
    return lambda: files.bomb(TARGET, files.book(""), part)


def _cut() -> None:
    _parts(lambda _: None)()
    data = Path(TARGET).read_bytes()
    Path(TARGET).write_bytes(data[: len(data) * 2 // 3])


# name -> what lays the workbook out, and the one right exit where there is one
CASES: dict[str, tuple[Callable[[], None], int | None]] = {
    "_rels/.rels damaged": (_set("_rels/.rels", "<Relationships"), 2),
    "_rels of the workbook damaged": (_set(RELS, "<Relationships><Relationship"), 2),
    "_rels of the workbook missing": (_dropped(RELS), 2),
    "relationship without target": (_replaced(RELS, 'Target="styles.xml"', ""), 2),
    "relationship of the sheet missing": (_replaced(RELS, 'Id="rId1"', 'Id="rId9"'), 2),
    "relationship of the styles missing": (_replaced(RELS, "/styles", "/theme"), None),
    "relationship out of the package": (_replaced(RELS, "worksheets/sheet1.xml", "../../../etc/passwd"), 2),
    "checksum of a part": (_broken(files.broken_crc, "xl/worksheets/sheet1.xml"), 2),
    "checksum of the workbook": (_broken(files.broken_crc, "xl/workbook.xml"), 2),
    "packed content": (_broken(files.broken_data, "xl/worksheets/sheet1.xml"), 2),
    "zip bomb in --into": (_bomb("xl/worksheets/sheet1.xml"), 2),
    "zip bomb beside": (_bomb("xl/media/image1.bin"), 2),
    "names that differ in case only": (_named("ESTIMATE_SHEET_SUMMARY"), None),
    "content types damaged": (_set("[Content_Types].xml", "<Types"), 2),
    "content types missing": (_dropped("[Content_Types].xml"), 2),
    "styles damaged": (_set("xl/styles.xml", "<styleSheet"), 2),
    "styles empty": (_set("xl/styles.xml", ""), 2),
    "styles without lists": (_set("xl/styles.xml", f'<styleSheet xmlns="{files.MAIN}"/>'), None),
    "styles missing": (_dropped("xl/styles.xml"), None),
    "workbook empty": (_set("xl/workbook.xml", ""), 2),
    "sheet id that is no number": (_replaced("xl/workbook.xml", 'sheetId="1"', 'sheetId="x"'), 2),
    "no sheets": (_replaced("xl/workbook.xml", '<sheet name="Data" sheetId="1" r:id="rId1"/>', ""), None),
    "entities": (_replaced("xl/workbook.xml", "<workbook", '<!DOCTYPE x [<!ENTITY a "b">]><workbook'), 2),
    "cut": (_cut, 2),
    "no package": (lambda: files.noise(TARGET), 2),
    "plain": (_parts(lambda _: None), 0),
}


def draw(rng: random.Random, index: int) -> Trial:
    """Each case in turn; in later rounds with a byte or a few changed anywhere."""
    name = [*CASES][index % len(CASES)]
    make, wants = CASES[name]
    make()
    if index >= len(CASES):
        name, wants = f"{name}, and bytes changed", None
        _spoil(rng)
    words = ("export", "--into", TARGET, *ASK)
    trial = command(name, words, f"{TARGET}: {name}", wants)
    return trial._replace(act=lambda: _judged(words, wants), writes=(TARGET, "book.backup*.xlsx"))


def _spoil(rng: random.Random) -> None:
    data = bytearray(Path(TARGET).read_bytes())
    for _ in range(rng.choice((1, 1, 3, 10))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    Path(TARGET).write_bytes(data)


def _judged(words: tuple[str, ...], wants: int | None) -> Iterator[str]:
    before = Path(TARGET).read_bytes()
    yield from outcome(words, wants)
    if Path(TARGET).read_bytes() == before:
        yield from (f"left beside: {path.name}" for path in Path().glob("*backup*"))
        return
    backups = [path for path in Path().glob("*backup*") if path.read_bytes() == before]
    if len(backups) != 1:
        yield "no backup of the workbook as it was"
    yield from _names(TARGET)


def _names(path: str) -> Iterator[str]:
    """Names that a spreadsheet program takes for one."""
    with zipfile.ZipFile(path) as file:
        tags = re.findall(r"<definedName\b[^>]*>", file.read("xl/workbook.xml").decode())
    whole = [re.search(r'\bname="([^"]*)"', tag) for tag in tags if "localSheetId" not in tag]
    lower = [found[1].lower() for found in whole if found]
    for name in sorted({name for name in lower if lower.count(name) > 1}):
        yield f"one name twice: {name}"
