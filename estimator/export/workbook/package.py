"""Our sheets into somebody's workbook: its package is edited part by part, and every part not ours stays as it is.

Loading and saving through a spreadsheet library would lose charts, pivot tables and macros. Here only the lists that
name all parts are touched (content types, workbook, its relationships, styles), and only by adding to them; sheets of
ours from an earlier export are replaced. Where that cannot be kept, the file is refused and nothing changes.
"""

import io
import posixpath
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from estimator.errors import InvalidInput, clipped
from estimator.export.workbook import build
from estimator.export.workbook.book import MADE_BY, SHEETS
from estimator.export.workbook.styles import MAIN, Styles
from estimator.files import kept_beside, read_bytes, reason, regular, shown, unzipped, whole
from estimator.results import Comparison

RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT_TYPES = "[Content_Types].xml"
KIND = {
    "worksheet": "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml",
    "drawing": "application/vnd.openxmlformats-officedocument.drawing+xml",
    "chart": "application/vnd.openxmlformats-officedocument.drawingml.chart+xml",
}
OWN_KINDS = {"drawing", "printerSettings"}  # what may hang on a sheet of ours; anything else somebody added
LONGEST_LABEL = 31 - 1 - max(map(len, SHEETS))


class Package:
    """The parts of an .xlsx or .xlsm file by name, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = read_bytes(path, "workbook")
        found = unzipped(self.content, path, "workbook")
        self.infos, self.parts = [info for info, _ in found], {info.filename: part for info, part in found}
        if len(self.parts) != len(self.infos):
            raise _refused(path, "two of its parts have the same name")
        self.before = dict(self.parts)
        root = self._relations("").values()
        self.workbook = next((target for kind, target in root if kind == "officeDocument"), "")
        if not self.workbook.endswith(".xml") or CONTENT_TYPES not in self.parts:
            raise InvalidInput(f"{path} is no .xlsx or .xlsm workbook")

    def text(self, part: str) -> str:
        """A part as text."""
        try:
            return self.parts[part].decode("utf-8-sig")
        except (KeyError, UnicodeDecodeError):
            raise _refused(self.path, f"its part {part} is missing or not UTF-8") from None

    def put(self, part: str, text: str) -> None:
        """Replace or add a part; the text must be well-formed."""
        self._parsed(part, text)
        mark = b"\xef\xbb\xbf" if self.parts.get(part, b"").startswith(b"\xef\xbb\xbf") else b""
        self.parts[part] = mark + text.encode("utf-8")

    def _parsed(self, part: str, text: str | bytes) -> ET.Element:
        try:
            return ET.fromstring(text)
        except (ET.ParseError, ValueError) as error:
            raise _refused(self.path, f"its part {part} is not well-formed ({error})") from None

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Relationships of a part: id -> (kind, target part); external ones left out."""
        return self._relations(part)

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        there = relations_part(part)
        if there not in self.parts:
            return {}
        folder, found = posixpath.dirname(part), {}
        if b"<!DOCTYPE" in self.parts[there]:
            raise _refused(self.path, f"its part {there} has a document type")
        for entry in self._parsed(there, self.parts[there]):
            if not {"Id", "Type", "Target"} <= entry.attrib.keys():
                raise _refused(self.path, f"its part {there} has a relationship without Id, Type or Target")
            if entry.attrib.get("TargetMode") != "External":
                target = entry.attrib["Target"]
                full = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                kind = entry.attrib["Type"].rpartition("/")[2]
                found[entry.attrib["Id"]] = kind, posixpath.normpath(full)
        return found

    def free(self, stem: str) -> str:
        """A part name nobody has: stem1.xml, stem2.xml, ..."""
        taken = {name.lower() for name in self.parts}
        return next(name for n in range(1, 100_000) if (name := f"{stem}{n}.xml").lower() not in taken)

    def write(self, target: Path) -> None:
        """All parts to a new file, those that were there first and with their own settings."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            for info in self.infos:
                if info.filename in self.parts:
                    file.writestr(info, self.parts[info.filename], info.compress_type)
            for name in sorted(self.parts.keys() - self.before.keys()):
                file.writestr(name, self.parts[name])
        target.write_bytes(packed.getvalue())


def add_to_workbook(
    comparison: Comparison, path: str, label: str = "Estimate", replace: bool = False, command: str = ""
) -> str:
    """Add our sheets to a workbook, or refresh them there; returns where the workbook as it was is kept.

    label: goes before every sheet's name; replace: overwrite sheets of these names even if they are not ours
    Raises InvalidInput, and leaves the file as it is, where nothing else can be promised to stay untouched.
    """
    target = Path(path)
    _check_label(label)
    _check_file(target)
    package = Package(target)
    _check_package(package)
    backup = None
    try:
        with whole(target, still=package.content) as beside:
            book = build(comparison, beside, label, command)
            with _understood(package):
                _merge(package, Package(beside), book.name_text(""), replace)
            package.write(beside)
            backup = kept_beside(target, package.content)
    except BaseException:
        if backup is not None:
            backup.unlink(missing_ok=True)  # nothing was changed
        raise
    return str(backup)


def command_in(path: str, label: str) -> str:
    """The command that made the sheets of this label in a workbook; empty where there are none of ours."""
    if not Path(path).is_file():
        return ""
    package = Package(Path(path))
    with _understood(package):
        sheets = _Merge(package, package, "", False).sheets() if "<sheets>" in package.text(package.workbook) else {}
    there = sheets.get(f"{label} Notes")
    found = re.search(rf">{MADE_BY}(estimator export [^<]*)<", package.text(there[1])) if there else None
    return unescape(found[1], {"&quot;": '"', "&apos;": "'"}) if found else ""


@contextmanager
def _understood(package: Package) -> Iterator[None]:
    """Refuse a workbook in which what one part names is not there, instead of failing in the middle of it."""
    try:
        yield
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        if isinstance(error, InvalidInput):
            raise
        raise _refused(package.path, f"its parts do not belong together ({clipped(str(error))})") from None


def _check_label(label: str) -> None:
    if not label.strip() or len(label) > LONGEST_LABEL or re.search(r"[\[\]:*?/\\]|^'|'$", label):
        raise InvalidInput(
            f"--sheet must be 1 to {LONGEST_LABEL} characters without [ ] : * ? / \\ and no apostrophe at an end"
        )


def _check_file(path: Path) -> None:
    for lock in (path.parent / f"~${path.name}", path.parent / f".~lock.{path.name}#"):
        if lock.exists():
            raise InvalidInput(f"{path} is open in another program ({lock.name} is there): close it first")
    try:
        regular(path)
        with path.open("r+b") as file:
            start = file.read(8)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot change {shown(path)}: {reason(error)}") from None
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise InvalidInput(f"{path} is encrypted, or an old .xls file: save it as .xlsx without a password first")


def _check_package(package: Package) -> None:
    workbook = package.text(package.workbook)
    reasons = {
        "it is signed, and a change would break the signature": any(
            name.lower().startswith("_xmlsignatures") for name in package.parts
        ),
        "it is a shared workbook": any(name.startswith("xl/revisions") for name in package.parts),
        "its structure is protected": bool(
            re.search(r"<workbookProtection\b[^>]*lockStructure=\"(1|true)\"", workbook)
        ),
        "it is in the strict variant of the format": MAIN not in workbook,
        "its workbook part is written in an unusual way": not re.search(r"<sheets>.*</sheets>", workbook, re.S),
        "it has a document type": any(
            b"<!DOCTYPE" in package.parts[name] for name in (package.workbook, CONTENT_TYPES)
        ),
    }
    for why, found in reasons.items():
        if found:
            raise _refused(package.path, why)


def _refused(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(f"{path} is left as it is: {reason}. Export to a file of its own instead.")


class _Merge:
    """One merge: the workbook's lists as text, being edited."""

    def __init__(self, package: Package, donor: Package, start: str, replace: bool) -> None:
        self.package, self.donor, self.start, self.replace = package, donor, start, replace
        self.workbook = package.text(package.workbook)
        self.types = package.text(CONTENT_TYPES)
        self.rels_part = relations_part(package.workbook)
        self.rels = package.text(self.rels_part)
        self.folder = posixpath.dirname(package.workbook)
        bound = re.search(rf'xmlns:(\w+)="{RELATIONS}"', self.workbook)
        self.prefix = bound[1] if bound else ""
        if not bound:
            raise _refused(package.path, "its workbook part is written in an unusual way")

    def sheets(self) -> dict[str, tuple[str, str]]:
        """Sheets of the workbook: name -> (sheetId, part)."""
        targets, found = self.package.relations(self.package.workbook), {}
        for tag in re.findall(r"<sheet\b[^>]*/?>", self.workbook):
            name = unescape(_attribute(tag, "name"), {"&quot;": '"', "&apos;": "'"})
            part = targets[_attribute(tag, f"{self.prefix}:id")][1]
            if part not in self.package.parts:
                raise _refused(self.package.path, f"the part of its sheet {clipped(name)} is not in it")
            found[name] = _attribute(tag, "sheetId"), part
        return found

    def names(self) -> dict[str, str]:
        """Defined names of the whole workbook and what they refer to."""
        pattern = r"<definedName\b([^>]*)>([^<]*)</definedName>"
        return {
            _attribute(attributes, "name"): unescape(text, {"&quot;": '"', "&apos;": "'"})
            for attributes, text in re.findall(pattern, self.workbook)
            if "localSheetId" not in attributes
        }

    def drop(self, part: str) -> None:
        """Take a part of ours out, with what only it refers to."""
        for _, target in self.package.relations(part).values():
            if target in self.package.parts and not self._used_elsewhere(target, part):
                self.drop(target)
        self.package.parts.pop(relations_part(part), None)
        self.package.parts.pop(part, None)
        self.types = re.sub(rf'<Override\b[^>]*PartName="/{re.escape(part)}"[^>]*/>', "", self.types)

    def _used_elsewhere(self, part: str, but: str) -> bool:
        owners = (name for name in self.package.parts if name != but and not name.endswith(".rels"))
        return any(target == part for name in owners for _, target in self.package.relations(name).values())

    def add(self, part: str, kind: str, text: str) -> None:
        """Put a part in, and list its kind."""
        self.package.put(part, text)
        self.types = self.types.replace(
            "</Types>", f'<Override PartName="/{part}" ContentType="{KIND[kind]}"/></Types>'
        )

    def finish(self) -> None:
        """Write the lists back."""
        self.package.put(self.package.workbook, self.workbook)
        self.package.put(CONTENT_TYPES, self.types)
        self.package.put(self.rels_part, self.rels)


def _merge(package: Package, donor: Package, start: str, replace: bool) -> None:
    merge, theirs = _Merge(package, donor, start, replace), _Merge(donor, donor, start, replace)
    there, ours = merge.sheets(), theirs.sheets()
    lower = {name.lower(): name for name in there}
    old = {name: lower[name.lower()] for name in ours if name.lower() in lower}
    _check_names(merge, old, set(theirs.names()))
    styles_part = next(target for kind, target in package.relations(package.workbook).values() if kind == "styles")
    styles = Styles(package.text(styles_part))
    places = styles.merged(donor.text("xl/styles.xml"))
    strings = re.findall(r"<si>(.*?)</si>", donor.text("xl/sharedStrings.xml"), re.S)
    _forget_chain(merge, {there[name][0] for name in old.values()})
    for name, (_, part) in ours.items():
        text = _adapted(donor.text(part), strings, places)
        where = there[old[name]][1] if name in old else None
        _sheet(merge, theirs, name, part, text, where)
    package.put(styles_part, styles.text)
    _write_names(merge, theirs, set(ours))
    merge.finish()


def _check_names(merge: _Merge, old: dict[str, str], ours: set[str]) -> None:
    """Refuse to touch sheets and names that are not ours."""
    names = merge.names()
    marked = {_sheet_of(text) for name, text in names.items() if name.lower().startswith(f"{merge.start}sheet_")}
    path, there = merge.package.path, merge.sheets()
    for name in old.values():
        extra = {kind for kind, _ in merge.package.relations(there[name][1]).values()} - OWN_KINDS
        if name not in marked and not merge.replace:
            raise InvalidInput(f"{path} has a sheet {name!r} of its own: choose another --sheet, or add --replace")
        if extra and not merge.replace:
            raise InvalidInput(
                f"somebody added to the sheet {name!r} ({', '.join(sorted(extra))}): add --replace to lose that"
            )
    taken = {name.lower() for name in ours}  # programs tell names apart by their letters, not by their case
    strange = [name for name, text in names.items() if name.lower() in taken and _sheet_of(text) not in old.values()]
    if strange:
        raise _refused(path, f"its name {strange[0]} refers to another sheet; choose another --sheet")


def _sheet_of(reference: str) -> str:
    return reference.rpartition("!")[0].strip("'").replace("''", "'")


def _adapted(text: str, strings: list[str], places: dict[int, int]) -> str:
    """A sheet of ours for another workbook: texts in the cells, styles where they are there."""

    def inline(found: re.Match[str]) -> str:
        return f'<c{found[1]} t="inlineStr"><is>{strings[int(found[2])]}</is></c>'

    text = re.sub(r'<c([^>]*?) t="s"><v>(\d+)</v></c>', inline, text)
    text = re.sub(r'(<c r="[A-Z]+\d+") s="(\d+)"', lambda at: f'{at[1]} s="{places[int(at[2])]}"', text)
    return re.sub(r"<autoFilter\b[^>]*/>", "", text).replace(' tabSelected="1"', "")


def _sheet(merge: _Merge, theirs: _Merge, name: str, part: str, text: str, where: str | None) -> None:
    """Put one sheet in, at its old place or as a new one, with its drawing and chart."""
    package = merge.package
    if where is None:
        where = package.free(f"{merge.folder}/worksheets/sheet")
        identity = next(word for n in range(100_000) if f'"{(word := f"rIdOwn{n}")}"' not in merge.rels)
        _list_sheet(merge, name, identity, posixpath.relpath(where, merge.folder))
    else:
        merge.drop(where)
    merge.add(where, "worksheet", text)
    for kind, drawing in theirs.package.relations(part).values():
        if kind == "drawing":
            _attached(merge, theirs, where, drawing, "drawing")


def _attached(merge: _Merge, theirs: _Merge, owner: str, part: str, kind: str) -> None:
    """A drawing of a sheet, or a chart of a drawing, under a free name; the relationship ids stay as they are."""
    new = merge.package.free(f"{merge.folder}/{kind}s/{kind}")
    merge.add(new, kind, theirs.package.text(part))
    entry = f'<Relationship Id="rId1" Type="{RELATIONS}/{kind}" Target="/{new}"/>'
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    merge.package.put(relations_part(owner), f'{head}<Relationships xmlns="{space}">{entry}</Relationships>')
    for inner, target in theirs.package.relations(part).values():
        _attached(merge, theirs, new, target, inner)


def _list_sheet(merge: _Merge, name: str, identity: str, target: str) -> None:
    number = max(int(found) for found in re.findall(r'<sheet\b[^>]*\bsheetId="(\d+)"', merge.workbook)) + 1
    shown = escape(name, {'"': "&quot;"})
    space = f'xmlns:{merge.prefix}="{RELATIONS}"'  # some writers bind it at each sheet, not once for all
    tag = f'<sheet {space} name="{shown}" sheetId="{number}" {merge.prefix}:id="{identity}"/>'
    merge.workbook = merge.workbook.replace("</sheets>", f"{tag}</sheets>", 1)
    entry = f'<Relationship Id="{identity}" Type="{RELATIONS}/worksheet" Target="{target}"/>'
    merge.rels = merge.rels.replace("</Relationships>", f"{entry}</Relationships>")


def _write_names(merge: _Merge, theirs: _Merge, sheets: Iterable[str]) -> None:
    """Our names in place of those an earlier export left."""
    wanted = set(sheets)
    for name, text in merge.names().items():
        if name.lower().startswith(merge.start) and _sheet_of(text) in wanted:  # programs may have changed their case
            entry = rf'<definedName\b[^>]*\bname="{re.escape(name)}"[^>]*>[^<]*</definedName>'
            merge.workbook = re.sub(entry, "", merge.workbook)
    entries = "".join(
        f'<definedName name="{name}">{escape(text)}</definedName>'
        for name, text in theirs.names().items()
        if _sheet_of(text) in wanted
    )
    if "</definedNames>" in merge.workbook:
        merge.workbook = merge.workbook.replace("</definedNames>", f"{entries}</definedNames>", 1)
        return
    after = [r"</sheets>", r"</functionGroups>", r"<functionGroups\b[^>]*/>", r"</externalReferences>"]
    end = max(found.end() for pattern in after for found in re.finditer(pattern, merge.workbook))
    bare = merge.workbook[:end] + f"<definedNames>{entries}</definedNames>" + merge.workbook[end:]
    merge.workbook = bare.replace("<definedNames/>", "")


def _forget_chain(merge: _Merge, sheet_ids: set[str]) -> None:
    """Take the cells of sheets that are replaced out of the calculation chain, which must name only formulas."""
    chain = next(
        (t for kind, t in merge.package.relations(merge.package.workbook).values() if kind == "calcChain"), None
    )
    if chain is None or not sheet_ids:
        return
    kept, ours, current = [], 0, "0"
    text = merge.package.text(chain)
    for cell in re.findall(r"<c\b[^>]*/>", text):
        current = _attribute(cell, "i") or current
        ours += current in sheet_ids
        if current not in sheet_ids:
            kept.append(re.sub(r'\si="\d+"', "", cell).replace("<c", f'<c i="{current}"', 1))
    if not ours:
        return
    if kept:
        merge.package.put(chain, re.sub(r"(<c\b[^>]*/>)+", "".join(kept), text, count=1))
        return
    merge.drop(chain)
    merge.rels = re.sub(r'<Relationship\b[^>]*/calcChain"[^>]*/>', "", merge.rels)


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'(?<![\w:]){re.escape(name)}="([^"]*)"', tag)
    return found[1] if found else ""


def relations_part(part: str) -> str:
    """The part that lists another's relationships.

    >>> relations_part("xl/workbook.xml"), relations_part("")
    ('xl/_rels/workbook.xml.rels', '_rels/.rels')
    """
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")
