"""Files as others damage them: packages, bombs, tables, and things in the file system that are no files."""

import ctypes
import os
import random
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def book(sheet: str, **parts: str) -> dict[str, str]:
    """The parts of a small workbook around the XML of a sheet's rows; parts replace others by name."""
    found = {
        "[Content_Types].xml": f'{HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{TYPES}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{TYPES}.styles+xml"/>'
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{TYPES}.sharedStrings+xml"/></Types>',
        "_rels/.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}">'
        f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/>'
        f'<Relationship Id="rId3" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'{HEAD}<worksheet xmlns="{MAIN}"><sheetData>{sheet}</sheetData></worksheet>',
        "xl/styles.xml": f'{HEAD}<styleSheet xmlns="{MAIN}"><fonts count="1"><font/></fonts>'
        '<fills count="1"><fill><patternFill/></fill></fills>'
        '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="1"><xf xfId="0"/></cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" '
        'builtinId="0"/></cellStyles></styleSheet>',
        "xl/sharedStrings.xml": f'{HEAD}<sst xmlns="{MAIN}" count="1" uniqueCount="1"><si><t>samples</t></si></sst>',
    }
    return found | parts


def zipped(path: str, parts: Mapping[str, str | bytes]) -> None:
    """Parts as a package."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)


def broken_crc(path: str, part: str) -> None:
    """Spoil the checksum of a part, in its own header and in the list of all."""
    with zipfile.ZipFile(path) as file:
        old = struct.pack("<I", file.getinfo(part).CRC)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data.replace(old, bytes(byte ^ 255 for byte in old)))


def broken_data(path: str, part: str) -> None:
    """Spoil the packed content of a part, so that it cannot be unpacked."""
    with zipfile.ZipFile(path) as file:
        info = file.getinfo(part)
    data = bytearray(Path(path).read_bytes())
    start = info.header_offset + 30 + len(part)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    Path(path).write_bytes(data)


def bomb(path: str, parts: Mapping[str, str | bytes], part: str, size: int = 3_000_000_000) -> None:
    """A package one part of which says that it is `size` long, and is, when somebody unpacks it."""
    zipped(path, {name: text for name, text in parts.items() if name != part})
    packed, crc = _bomb(size)
    info = zipfile.ZipInfo(part)
    with zipfile.ZipFile(path, "a") as file:
        info.compress_type = zipfile.ZIP_STORED
        file.writestr(info, packed)
        held = file.getinfo(part)
        start = held.header_offset
        held.compress_type, held.file_size, held.CRC = zipfile.ZIP_DEFLATED, size, crc
    data = bytearray(Path(path).read_bytes())
    struct.pack_into("<HHHIII", data, start + 8, 8, 0, 0x21, crc, len(packed), size)
    Path(path).write_bytes(data)


@cache
def _bomb(size: int) -> tuple[bytes, int]:
    """Spaces, deflated: one piece again and again."""
    piece = b" " * 1_000_000
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(b"")
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // len(piece)) + zlib.compressobj(9, wbits=-15).flush(), 0


def fifo(path: str) -> None:
    """A pipe nobody writes to."""
    os.mkfifo(path)


def bound(path: str) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def zeros(path: str) -> None:
    """A link to a device that never ends."""
    Path(path).symlink_to("/dev/zero")


def null(path: str) -> None:
    """A link to a device that is empty."""
    Path(path).symlink_to("/dev/null")


def folder(path: str) -> None:
    """A folder where a file should be."""
    Path(path).mkdir()


def loop(path: str) -> None:
    """A link to itself."""
    Path(path).symlink_to(path)


def dangling(path: str) -> None:
    """A link to nothing."""
    Path(path).symlink_to("nowhere")


def endless(path: str) -> None:
    """A file of 3 GB, which takes no room."""
    Path(path).touch()
    os.truncate(path, 3_000_000_000)


def noise(path: str) -> None:
    """Bytes that are no text."""
    Path(path).write_bytes(random.Random(path).randbytes(2_000))


def wide(path: str) -> None:
    """Text in UTF-16."""
    Path(path).write_bytes("samples = 5\n".encode("utf-16"))


def unreadable(path: str) -> None:
    """A file nobody may read."""
    Path(path).write_text("samples = 5\n")
    Path(path).chmod(0)


STRANGE: tuple[Callable[[str], None], ...] = (
    *(fifo, bound, zeros, null, folder, loop, dangling, endless, noise, wide, unreadable),
)


class Unprivileged:
    """Without the rights of root to read and write what its owner may not; it takes effect on this thread alone."""

    RIGHTS = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    HEADER = struct.pack("<Ii", 0x20080522, 0)  # version 3, this thread

    def __enter__(self) -> None:
        self.before = ctypes.create_string_buffer(24)
        LIBC.capget(ctypes.create_string_buffer(self.HEADER), self.before)
        words = list(struct.unpack("<6I", self.before.raw))
        words[0] &= ~self.RIGHTS
        LIBC.capset(ctypes.create_string_buffer(self.HEADER), ctypes.create_string_buffer(struct.pack("<6I", *words)))

    def __exit__(self, *_: object) -> None:
        LIBC.capset(ctypes.create_string_buffer(self.HEADER), self.before)


LIBC = ctypes.CDLL(None)
