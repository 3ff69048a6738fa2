"""Files in and out: only regular ones are read, within their limits; what is written is whole, or nothing changed."""

import os
import random
import signal
import socket
import stat
import sys
import time
import tomllib
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from estimator import files
from estimator.catalog.files import count, number, use_facts
from estimator.cli import main
from estimator.errors import InvalidInput
from estimator.files import (
    doubled,
    files_under,
    kept_beside,
    read_bytes,
    read_text,
    read_toml,
    unzipped,
    whole,
    whole_folder,
    write_text,
)
from estimator.paths import toml

ASK = ["compare", "--model", "7b", "--gpu", "a100"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes, pipes and links are those of POSIX")


# --- reading -------------------------------------------------------------------------------------------------


def odd(path: Path, kind: str) -> None:
    """Something that is no regular file."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(here)
    else:
        path.symlink_to({"device": "/dev/zero", "link to nowhere": "nowhere", "link to itself": path.name}[kind])


ODD = ("folder", "pipe", "device", "link to nowhere", "link to itself")
READ = {
    "scenario": ([*ASK, "--scenario", "{}"], "odd.toml"),
    "config": (["compare", "--model", "{}", "--gpu", "a100"], "odd.json"),
    "cases": (["validate", "--cases", "{}"], "odd.csv"),
    "sweep from CSV": (["sweep", "{}", "-o", "out.csv", *ASK[1:]], "odd.csv"),
    "sweep from a workbook": (["sweep", "{}", "-o", "out.csv", *ASK[1:]], "odd.xlsx"),
    "sweep from Parquet": (["sweep", "{}", "-o", "out.csv", *ASK[1:]], "odd.parquet"),
    "workbook": (["export", "--into", "{}", *ASK[1:]], "odd.xlsx"),
}


@POSIX
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(("words", "name"), READ.values(), ids=READ)
def test_what_is_no_regular_file_is_refused_before_it_is_opened(kind, words, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if words[1] == "--model" and kind == "folder":
        name = "config.json"  # a folder is where it is looked for
    odd(tmp_path / name, kind)

    assert main([word.format(tmp_path / name) for word in words]) == 2

    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    assert not said.out
    assert [path.name for path in tmp_path.iterdir()] == [name]


@POSIX
@pytest.mark.parametrize(("kind", "says"), [("folder", "folder"), ("pipe", "pipe"), ("socket", "socket")])
def test_it_says_what_it_is(kind, says, tmp_path):
    odd(tmp_path / "odd", kind)

    with pytest.raises(InvalidInput, match=f"it is a {says}"):
        read_bytes(tmp_path / "odd", "scenario")
    with pytest.raises(InvalidInput, match=f"it is a {says}"), whole(tmp_path / "odd"):
        pass


@POSIX
@pytest.mark.parametrize("kind", ODD)
def test_what_cannot_be_read_is_in_the_way_of_no_other_accelerator(kind, tmp_path, capsys):
    (tmp_path / "accelerators").mkdir()
    odd(tmp_path / "accelerators" / "odd.toml", kind)
    use_facts(None)
    try:
        assert main([*ASK, "--facts", str(tmp_path)]) == 0
        assert main(["compare", "--model", "7b", "--gpu", "odd", "--facts", str(tmp_path)]) == 2
    finally:
        use_facts(None)
    assert len(capsys.readouterr().err.splitlines()) == 1


@POSIX
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to nowhere", "link to itself"])
def test_what_is_called_like_a_file_of_a_folder_and_is_none_is_said(kind, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "good.txt").write_text("good")
    odd(tmp_path / "deep" / "odd.txt", kind)

    with pytest.raises(InvalidInput, match=r"cannot read .*odd\.txt"):
        files_under(tmp_path, (".txt",))
    with pytest.raises(InvalidInput, match=r"cannot read .*odd\.txt"):
        files_under(tmp_path / "deep" / "odd.txt", (".txt",))
    assert files_under(tmp_path, (".csv",)) == []


@POSIX
def test_folders_behind_links_are_entered_once(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("a")
    (tmp_path / "deep" / "up").symlink_to("..")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.TXT").write_text("b")
    (tmp_path / "deep" / "there").symlink_to("../elsewhere")
    (tmp_path / "c.txt").symlink_to("elsewhere/b.TXT")

    found = files_under(tmp_path / "deep", (".txt",))

    assert sorted({path.resolve().name for path in found}) == ["a.txt", "b.TXT"]
    assert len(found) == 3


def test_a_small_file_takes_no_room_for_the_largest_there_may_be(tmp_path):
    (tmp_path / "bill.csv").write_bytes(b"x" * 5_000_000)
    tracemalloc.start()
    try:
        assert len(read_bytes(tmp_path / "bill.csv", "bill")) == 5_000_000
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@POSIX
def test_a_table_that_would_be_passed_over_is_said(tmp_path):
    os.mkfifo(tmp_path / "llms.csv")

    with pytest.raises(InvalidInput, match=r"llms\.csv: it is a pipe"):
        use_facts(tmp_path)


@pytest.mark.parametrize(("content", "says"), [(b"\xff\xfe\x00", "not text in UTF-8"), (b"x" * 1_000_001, "1 MB")])
def test_limits_and_encodings_are_said(content, says, tmp_path):
    (tmp_path / "a.toml").write_bytes(content)

    with pytest.raises(InvalidInput, match=says):
        read_text(tmp_path / "a.toml", "scenario")


def test_a_byte_order_mark_and_a_link_are_read(tmp_path):
    (tmp_path / "a.toml").write_text("samples = 2", encoding="utf-8-sig")
    (tmp_path / "link.toml").symlink_to("a.toml")

    assert read_toml(tmp_path / "link.toml", "scenario") == {"samples": 2}


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 5000])
def test_names_that_cannot_be_are_one_line(name, capsys):
    for words in (["--scenario", name], ["--output", name], ["--facts", name]):
        assert main([*ASK, *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_unpacks_into_too_much_is_refused(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 3_000_000)
    monkeypatch.setattr(files, "MOST_UNPACKED", 2_000_000)

    with pytest.raises(InvalidInput, match="unpacked, it is more than"):
        unzipped(bomb.read_bytes(), bomb, "workbook")
    assert main(["sweep", str(bomb), "-o", str(tmp_path / "out.csv"), *ASK[1:]]) == 2
    assert main(["export", "--into", str(bomb), *ASK[1:]]) == 2


def test_doubled_names_are_found_in_linear_time():
    names = [str(index) for index in range(300_000)]

    assert doubled(names) is None
    assert doubled([*names, "7"]) == "7"


# --- writing -------------------------------------------------------------------------------------------------


@POSIX
def test_a_link_is_followed_and_a_mode_is_kept(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to("real.txt")

    write_text(link, "new")

    assert link.is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new", 0o640)
    assert len(list(tmp_path.iterdir())) == 2


@POSIX
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_nothing_is_left_of_what_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def broken(error: Exception) -> None:
        with whole(tmp_path / "a.txt") as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(KeyError):
        broken(KeyError())
    with pytest.raises(InvalidInput, match="No space left"):
        broken(OSError(28, "No space left on device"))

    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_is_there_with_all_that_is_in_it_or_not(tmp_path):
    with whole_folder(tmp_path / "above" / "new") as beside:
        (beside / "a").write_text("a")
        assert not (tmp_path / "above" / "new").exists()
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "other") as beside:
        (beside / "a").write_text(str(1 / 0))
    with pytest.raises(InvalidInput, match="is there already"), whole_folder(tmp_path / "above"):
        pass
    with pytest.raises(InvalidInput, match="no file can have such a name"), whole_folder(tmp_path / "a\0"):
        pass

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "above",
        "above/new",
        "above/new/a",
    ]


def test_no_folder_is_made_unasked(tmp_path):
    with pytest.raises(InvalidInput, match="No such file or directory"):
        write_text(tmp_path / "new" / "a.txt", "text")
    assert not list(tmp_path.iterdir())


def test_what_somebody_else_changed_meanwhile_stays(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("read")

    def disturbed() -> None:
        with whole(mine, still=b"read") as beside:
            beside.write_text("ours")
            mine.write_text("their")

    with pytest.raises(InvalidInput, match="changed by somebody else"):
        disturbed()
    assert mine.read_text() == "their"
    with whole(mine, still=b"their") as beside:
        beside.write_text("ours")
    assert mine.read_text() == "ours"


def test_backups_take_free_names_and_keep_content_and_age(tmp_path):
    mine = tmp_path / "mine.xlsx"
    mine.write_bytes(b"one")
    os.utime(mine, (1_000_000_000, 1_000_000_000))
    (tmp_path / "mine.backup.xlsx").write_bytes(b"somebody's")

    kept = kept_beside(mine, b"one")

    assert (kept.name, kept.read_bytes(), int(kept.stat().st_mtime)) == ("mine.backup1.xlsx", b"one", 1_000_000_000)
    assert (tmp_path / "mine.backup.xlsx").read_bytes() == b"somebody's"
    assert len(list(tmp_path.iterdir())) == 3


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_is_not_replaced_and_a_full_one_is_said(capsys):
    before = Path("/dev/full").stat()

    with pytest.raises(InvalidInput, match="it is a device"):
        write_text("/dev/full", "text")
    assert Path("/dev/full").stat().st_rdev == before.st_rdev
    sys.stdout.flush()
    kept = sys.stdout
    with open("/dev/full", "w") as full:  # noqa: PTH123
        sys.stdout = full
        try:
            assert main(ASK) == 2
        finally:
            sys.stdout = kept
            with pytest.MonkeyPatch.context():
                os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert "No space left" in capsys.readouterr().err


def test_a_closed_screen_is_said_unless_the_answer_goes_to_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)

    assert main(ASK) == 2
    assert "standard output is closed" in capsys.readouterr().err
    assert main([*ASK, "--output", str(tmp_path / "a.txt")]) == 0


# --- TOML and numbers ----------------------------------------------------------------------------------------

PIECES = (
    *(
        "a",
        "b.c",
        '"d e"',
        "[a]",
        "[[a]]",
        "[a.b]",
        " = ",
        "=",
        "1",
        "1_000",
        "1__0",
        "_1",
        "0x1f",
        "-0",
        "1e5",
        "1.",
        "null",
    ),
    *(
        "nan",
        "true",
        '"x"',
        "'y'",
        '"\\u00e9"',
        '"\\/"',
        "{ x = 1 }",
        "{ x = 1, x = 2 }",
        '{ "x": 1 }',
        "[1, 2]",
        "[1, null]",
    ),
    *(
        "# c",
        "\u2028",
        "\u0085",
        "\x0c",
        "\x7f",
        "\r\n",
        "\t",
        "2025-01-31",
        "2025-W01-1",
        "07:30:00",
        "\\",
        ",",
        "  ",
        "٣",
    ),
)


def drawn(rng: random.Random) -> str:
    """Lines that are nearly TOML."""
    lines = []
    for _ in range(rng.randrange(1, 6)):
        name, value = rng.choice("abcdef"), rng.choice(PIECES)
        line = rng.choice((f"{name} = {value}", f"[{name}]", f"[[{name}]]", f"[{name}.{rng.choice('ab')}]", value))
        if rng.random() < 0.2:
            place = rng.randrange(len(line) + 1)
            line = line[:place] + rng.choice(PIECES) + line[place:]
        lines.append(line + (f" # {rng.choice(PIECES)}" if rng.random() < 0.2 else ""))
    return "\n".join(lines)


def test_20_000_texts_are_read_as_tomllib_reads_them():
    rng, good = random.Random(20_000), 0
    for _ in range(20_000):
        text = drawn(rng)
        try:
            expected = repr(tomllib.loads(text))
        except ValueError:
            with pytest.raises(ValueError):  # noqa: PT011
                toml(text)
        else:
            good += 1
            assert repr(toml(text)) == expected, text
    assert good > 2000


@pytest.mark.parametrize("text", ["samples = 2000 \u2028epochs = 9", "# \u0085epochs = 9\nsamples = 2000"])
def test_a_comment_is_no_input(text, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")

    status = main([*ASK, "--scenario", str(tmp_path / "a.toml")])

    assert "epochs = 9" not in capsys.readouterr().out
    assert status == (2 if text[0] == "s" else 0)


@pytest.mark.parametrize("text", ["24.7", "1_0", "٣", "1e19", "-1", "nan"])
def test_counts_of_tables_are_whole_and_bounded(text):
    with pytest.raises(InvalidInput):
        count(text, "layers")


def test_sizes_of_facts_are_possible():
    assert (number("0", "x"), number("1,000", "x"), number(" ", "x")) == (0.0, 1000.0, None)
    for text in ("1e308", "1e-308", "inf", "2,5", "1_0", "２"):
        with pytest.raises(InvalidInput, match="must be a number"):
            number(text, "x")


@pytest.mark.parametrize("value", ["1e19", "8.5", "0"])
def test_counts_of_accelerators_are_bounded(value, tmp_path, capsys):
    shipped = (Path(files.__file__).parent.parent / "hardware" / "accelerators" / "a100-sxm-80gb.toml").read_text()
    (tmp_path / "accelerators").mkdir()
    changed = shipped.replace("accelerators_per_node = { value = 8", f"accelerators_per_node = {{ value = {value}")
    assert changed != shipped
    (tmp_path / "accelerators" / "mine.toml").write_text(changed)
    try:
        assert main(["compare", "--model", "7b", "--gpu", "8xmine", "--facts", str(tmp_path)]) == 2
    finally:
        use_facts(None)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_reading_a_pipe_does_not_hang(tmp_path):
    """As long as a test may take is long enough to see it."""
    if sys.platform == "win32":
        pytest.skip("no pipes with names")
    os.mkfifo(tmp_path / "p.toml")
    start = time.monotonic()

    assert main([*ASK, "--scenario", str(tmp_path / "p.toml")]) == 2
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("made", [whole, whole_folder])
def test_a_signal_just_before_a_with_begins_leaves_nothing_beside(tmp_path, made):
    """Nothing of a `with` runs where a signal comes between what it makes and its first line."""
    writing = made(tmp_path / "out")
    writing.__enter__()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        pytest.skip("signals are somebody else's here")

    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)

    assert not any(tmp_path.iterdir())
    writing.gen.close()
