"""A real spreadsheet engine for tests: LibreOffice without a window, told to recalculate everything it loads."""

import re
import shutil
import subprocess
import warnings
import zipfile
from pathlib import Path

import openpyxl

SOFFICE = shutil.which("soffice")
ALWAYS_RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode"><value>0</value></prop></item>
</oor:items>"""


def recalculated(files, folder):
    """The workbooks as LibreOffice computes them: the values of each."""
    return [values(file) for file in saved(files, folder)]


def saved(files, folder):
    """The workbooks as LibreOffice saves them."""
    profile = Path(folder) / "profile"
    (profile / "user").mkdir(parents=True, exist_ok=True)
    (profile / "user" / "registrymodifications.xcu").write_text(ALWAYS_RECALCULATE)
    out = Path(folder) / "recalculated"
    command = [SOFFICE, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to", "xlsx"]
    subprocess.run([*command, "--outdir", str(out), *map(str, files)], check=True, capture_output=True, timeout=300)
    return [out / Path(file).name for file in files]


def values(path):
    """The stored values of a workbook: sheet name -> rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # parts openpyxl does not read
        workbook = openpyxl.load_workbook(path, data_only=True, read_only=True)
        try:
            return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in workbook}
        finally:
            workbook.close()


def patched(source, target, sheet, cells):
    """A copy of a workbook with numbers written over cells of one sheet, in the package itself."""
    part = part_of(source, sheet)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename == part:
                content = _with_cells(content.decode(), cells).encode()
            new.writestr(item, content)
    return target


def part_of(source, sheet):
    """The package part of a sheet, by the order of sheets."""
    with zipfile.ZipFile(source) as package:
        names = re.findall(r'<sheet name="([^"]*)"', package.read("xl/workbook.xml").decode())
    return f"xl/worksheets/sheet{names.index(sheet) + 1}.xml"


def _with_cells(xml, cells):
    for address, value in cells.items():
        pattern = rf'<c r="{address}"( s="\d+")?[^>]*>.*?</c>'
        xml, count = re.subn(pattern, rf'<c r="{address}"\1><v>{value!r}</v></c>', xml)
        assert count == 1, f"{address} is not in the sheet"
    return xml


def with_wrong_caches(source, target):
    """A copy whose every cached number of a formula is wrong: what comes back right was recalculated."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.startswith("xl/worksheets/sheet"):
                content = re.sub(rb"</f><v>[^<]*</v>", b"</f><v>123456789</v>", content)
            new.writestr(item, content)
    return target
