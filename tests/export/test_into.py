"""Sheets added to somebody's workbook: nothing of theirs changes, and what cannot be promised is refused."""

import re
import zipfile

import openpyxl
import pytest
import xlsxwriter
from openpyxl.chart import BarChart, Reference
from openpyxl.formatting.rule import ColorScaleRule

from estimator import compare
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.export.workbook.book import SHEETS
from estimator.export.workbook.package import add_to_workbook
from tests.export.engine import SOFFICE, recalculated, saved, values

LISTS = {"[Content_Types].xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"}
VBA = b"\xcc\x61 not real code, but nobody may touch it"


@pytest.fixture(scope="module")
def comparison():
    return compare(model="7b", gpu="a100", stages=("prompt", "finetune"))


def rich(path, _=None):
    """A budget with a chart, conditional formats, comments, a protected sheet, names, validation and formulas."""
    book = xlsxwriter.Workbook(str(path))
    bold = book.add_format({"bold": True, "num_format": "[>=100]0;0.0", "bg_color": "#FFEEDD"})
    budget = book.add_worksheet("Budget")
    budget.write_row(0, 0, ["team", "usd"], bold)
    for row in range(1, 6):
        budget.write_row(row, 0, [f"team {row}", row * 1000.0])
    budget.write_formula("B8", "=SUM(B2:B6)", bold, 15000)
    budget.write_comment("B8", "checked by Ann")
    budget.conditional_format("B2:B6", {"type": "data_bar"})
    budget.data_validation("B2:B6", {"validate": "decimal", "criteria": ">=", "value": 0})
    chart = book.add_chart({"type": "column"})
    chart.add_series({"values": "=Budget!$B$2:$B$6"})
    budget.insert_chart("D2", chart)
    secret = book.add_worksheet("Locked & 'so' on")
    secret.protect("password")
    secret.write_formula("A1", "=Total*2", None, 30000)
    book.define_name("Total", "=Budget!$B$8")
    book.define_name("Budget!here", "=Budget!$A$1")
    book.close()


def charted(path, _=None):
    """As another program writes it: by openpyxl, with a colour scale and a chart."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Plan"
    for row in ([1, 2], [3, 4], [5, 6]):
        sheet.append(row)
    sheet["C1"] = "=SUM(A1:B3)"
    sheet.conditional_formatting.add("A1:B3", ColorScaleRule(start_type="min", start_color="FF0000", end_type="max"))
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=3))
    sheet.add_chart(chart, "E2")
    book.save(path)


def with_parts(source, target, parts, types=(), relations=""):
    """A copy of a workbook with further parts, as programs keep pivot tables, macros and links."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "[Content_Types].xml":
                content = content.replace(b"</Types>", "".join(types).encode() + b"</Types>")
            if info.filename == "xl/_rels/workbook.xml.rels":
                content = content.replace(b"</Relationships>", relations.encode() + b"</Relationships>")
            new.writestr(info, content)
        for name, content in parts.items():
            new.writestr(name, content)


def pivoted(path, tmp):
    rich(tmp / "rich.xlsx")
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    sheet = 'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml'
    with_parts(
        tmp / "rich.xlsx",
        path,
        {
            "xl/pivotCache/pivotCacheDefinition1.xml": b"<pivotCacheDefinition/>",
            "xl/externalLinks/externalLink1.xml": b"<externalLink/>",
            "xl/calcChain.xml": b'<calcChain xmlns="x"><c r="B8" i="1"/><c r="A1" i="2"/></calcChain>',
            "customXml/item1.xml": b"<mine/>",
        },
        [
            f'<Override PartName="/xl/pivotCache/pivotCacheDefinition1.xml" {sheet}.pivotCacheDefinition+xml"/>',
            f'<Override PartName="/xl/externalLinks/externalLink1.xml" {sheet}.externalLink+xml"/>',
        ],
        f'<Relationship Id="rId90" Type="{kind}/pivotCacheDefinition" Target="pivotCache/pivotCacheDefinition1.xml"/>'
        f'<Relationship Id="rId91" Type="{kind}/externalLink" Target="externalLinks/externalLink1.xml"/>'
        f'<Relationship Id="rId92" Type="{kind}/calcChain" Target="calcChain.xml"/>',
    )


def macro(path, tmp):
    rich(tmp / "plain.xlsx")
    kind = "http://schemas.microsoft.com/office/2006/relationships/vbaProject"
    with_parts(
        tmp / "plain.xlsx",
        path,
        {"xl/vbaProject.bin": VBA},
        ['<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/>'],
        f'<Relationship Id="rId80" Type="{kind}" Target="vbaProject.bin"/>',
    )


MAKERS = {
    "rich.xlsx": rich,
    "charted.xlsx": charted,
    "pivoted.xlsx": pivoted,
    "macro.xlsm": macro,
}


@pytest.fixture(params=MAKERS)
def theirs(request, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    path = tmp_path / request.param
    MAKERS[request.param](path, folder)
    return path


def parts(path):
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def assert_theirs_untouched(before, after):
    for name, content in before.items():
        if name not in LISTS:
            assert after[name] == content, name
    for name in LISTS:
        for piece in re.findall(
            rb"<(?:sheet |Override|Relationship |definedName |xf |dxf|font>|externalRef)[^>]*>", before[name]
        ):
            assert piece in after[name], f"{name} lost {piece}"


def assert_well_listed(path):
    """Every relationship has its part, every part a content type, every id is there once."""
    package = parts(path)
    types = package["[Content_Types].xml"].decode()
    for name in package:
        extension = name.rpartition(".")[2]
        assert f'PartName="/{name}"' in types or f'Extension="{extension}"' in types, name
    for name in re.findall(r'PartName="/([^"]*)"', types):
        assert name in package, name
    relations = package["xl/_rels/workbook.xml.rels"].decode()
    ids = re.findall(r'\bId="([^"]*)"', relations)
    assert len(ids) == len(set(ids))
    workbook = package["xl/workbook.xml"].decode()
    sheet_ids = re.findall(r'sheetId="(\d+)"', workbook)
    assert len(sheet_ids) == len(set(sheet_ids))
    names = re.findall(r'<definedName name="([^"]*)">', workbook)
    assert len(names) == len(set(names))


def test_their_parts_stay_byte_for_byte(theirs, comparison):
    before = parts(theirs)

    backup = add_to_workbook(comparison, str(theirs))

    assert parts(backup) == before
    after = parts(theirs)
    assert_theirs_untouched(before, after)
    assert_well_listed(theirs)
    assert [f"Estimate {name}" for name in SHEETS] == openpyxl.load_workbook(theirs).sheetnames[-len(SHEETS) :]
    assert values(theirs)["Estimate Summary"][4][4] == pytest.approx(comparison["prompt"].total_usd.value)


def test_a_second_export_refreshes_and_a_second_label_stands_beside(theirs, comparison):
    before = parts(theirs)
    add_to_workbook(comparison, str(theirs))
    first = parts(theirs)

    add_to_workbook(compare(model="7b", gpu="a100", requests_per_month=5e6, stages=("prompt", "finetune")), str(theirs))
    again = parts(theirs)
    add_to_workbook(comparison, str(theirs), "Estimate 2")
    add_to_workbook(comparison, str(theirs))

    assert again.keys() == first.keys()
    assert again["xl/styles.xml"] == first["xl/styles.xml"]
    after = parts(theirs)
    assert_theirs_untouched(before, after)
    assert_well_listed(theirs)
    shown = values(theirs)
    for label in ("Estimate", "Estimate 2"):
        assert shown[f"{label} Summary"][4][4] == pytest.approx(comparison["prompt"].total_usd.value)


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
def test_a_spreadsheet_program_reads_both(tmp_path, comparison):
    rich(tmp_path / "a.xlsx")
    add_to_workbook(comparison, str(tmp_path / "a.xlsx"), "Ann's plan")

    (computed,) = recalculated([tmp_path / "a.xlsx"], tmp_path)

    assert computed["Budget"][7][1] == 15000
    assert computed["Locked & 'so' on"][0][0] == 30000
    assert computed["Ann's plan Summary"][4][4] == pytest.approx(comparison["prompt"].total_usd.value, rel=1e-9)


@pytest.mark.skipif(SOFFICE is None, reason="LibreOffice is not installed")
def test_sheets_are_refreshed_after_another_program_has_saved_the_file(tmp_path, comparison):
    """It has written every part anew, ours too: other names, shared texts, styles and drawings."""
    rich(tmp_path / "a.xlsx")
    add_to_workbook(comparison, str(tmp_path / "a.xlsx"))
    (path,) = saved([tmp_path / "a.xlsx"], tmp_path)
    before = parts(path)
    ours = {name for name in before if b"Estimate" in before[name]}
    dearer = compare(model="7b", gpu="a100", requests_per_month=5e6, stages=("prompt", "finetune"))

    add_to_workbook(dearer, str(path))

    after = parts(path)
    for name in before.keys() - ours - LISTS:
        if "sheet" not in name and "drawing" not in name:
            assert after[name] == before[name], name
    assert_well_listed(path)
    (computed,) = recalculated([path], tmp_path / "again")
    assert computed["Estimate Summary"][4][4] == pytest.approx(dearer["prompt"].total_usd.value, rel=1e-9)
    assert computed["Budget"][7][1] == 15000


def test_cells_of_replaced_sheets_leave_the_calculation_chain(tmp_path, comparison):
    """A spreadsheet program lists our cells there when it saves; a cell without a formula would make it repair."""
    pivoted(tmp_path / "made.xlsx", tmp_path)
    add_to_workbook(comparison, str(tmp_path / "made.xlsx"))
    chain = b'<calcChain xmlns="x"><c r="B8" i="1"/><c r="A3" i="3"/><c r="A4"/><c r="A1" i="2"/></calcChain>'
    with zipfile.ZipFile(tmp_path / "made.xlsx") as old, zipfile.ZipFile(tmp_path / "saved.xlsx", "w") as new:
        for info in old.infolist():
            new.writestr(info, chain if info.filename == "xl/calcChain.xml" else old.read(info))

    add_to_workbook(comparison, str(tmp_path / "saved.xlsx"))

    assert re.findall(rb"<c [^>]*>", parts(tmp_path / "saved.xlsx")["xl/calcChain.xml"]) == [
        b'<c i="1" r="B8"/>',
        b'<c i="2" r="A1"/>',
    ]


def test_a_sheet_of_theirs_with_the_same_name_is_kept_unless_replaced(tmp_path, comparison):
    path = tmp_path / "b.xlsx"
    book = openpyxl.Workbook()
    book.active.title = "Estimate Notes"
    book.active["A1"] = "mine"
    book.save(path)
    before = path.read_bytes()

    with pytest.raises(InvalidInput, match="of its own"):
        add_to_workbook(comparison, str(path))
    assert path.read_bytes() == before
    add_to_workbook(comparison, str(path), replace=True)

    assert values(path)["Estimate Notes"][0][0] == "Notes"


def broken(path, kind):
    if kind == "missing":
        return
    if kind == "text":
        path.write_text("not a workbook")
        return
    if kind == "old":
        path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
        return
    charted(path.with_name("made.xlsx"))
    if kind == "signed":
        with_parts(path.with_name("made.xlsx"), path, {"_xmlsignatures/origin.sigs": b""})
        return
    marks = {
        "protected": (b"<bookViews", b'<workbookProtection lockStructure="1"/><bookViews'),
        "strict": (b"http://schemas.openxmlformats.org/spreadsheetml/2006/main", b"http://purl.oclc.org/ooxml/main"),
        "entity": (b"<workbook", b"<!DOCTYPE workbook><workbook"),
        "name": (b"</sheets>", b"</sheets><!-- -->"),
    }
    with zipfile.ZipFile(path.with_name("made.xlsx")) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "xl/workbook.xml":
                content = content.replace(*marks[kind])
            new.writestr(info, content)
    if kind == "name":
        book = openpyxl.load_workbook(path)
        book.defined_names.add(
            openpyxl.workbook.defined_name.DefinedName("estimate_rag_total_usd", attr_text="Plan!$A$1")
        )
        book.save(path)


@pytest.mark.parametrize("kind", ["missing", "text", "old", "signed", "protected", "strict", "entity", "name"])
def test_what_cannot_be_promised_is_refused_in_one_line(tmp_path, kind, capsys):
    path = tmp_path / "theirs.xlsx"
    broken(path, kind)
    before = path.read_bytes() if path.exists() else None

    assert main(["export", "--into", str(path), "--model", "7b", "--gpu", "a100"]) == 2

    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert (path.read_bytes() if path.exists() else None) == before
    assert not [there for there in tmp_path.iterdir() if "backup" in there.name or there.name.startswith(".theirs")]


def test_a_file_that_is_open_elsewhere_is_refused(tmp_path, comparison):
    path = tmp_path / "open.xlsx"
    charted(path)
    (tmp_path / "~$open.xlsx").touch()

    with pytest.raises(InvalidInput, match="open in another program"):
        add_to_workbook(comparison, str(path))


@pytest.mark.parametrize("label", ["", "a" * 40, "a/b", "'a'", "[x]"])
def test_labels_that_no_sheet_may_have_are_refused(tmp_path, comparison, label):
    with pytest.raises(InvalidInput, match="--sheet"):
        add_to_workbook(comparison, str(tmp_path / "x.xlsx"), label)


@pytest.mark.parametrize("label", ["2027", "Ünï 預算", "R1C1", "A1", "Q&A <x>", "Plan!"])
def test_odd_labels_make_valid_workbooks(tmp_path, comparison, label):
    path = tmp_path / "x.xlsx"
    charted(path)

    add_to_workbook(comparison, str(path), label)

    assert values(path)[f"{label} Summary"][4][4] == pytest.approx(comparison["prompt"].total_usd.value)
