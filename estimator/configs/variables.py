"""Variables in run configurations: `$NAME`, `${NAME:-default}` of a shell, `${section.key}` of other values."""

import re
from collections.abc import Mapping
from typing import Any

from estimator.catalog import expressions

BRACES = re.compile(r"\$\{(\w+)(?:(:?[-+=?])([^{}]*))?\}")
BARE = re.compile(r"\$(\w+)")
INNER = re.compile(r"\$\{\.?([A-Za-z_][\w.]*)\}")
HOLE = re.compile(r"\$[\w({]|^<[\w ./-]+>$|\{\{")
COMPUTED = re.compile(r"\$\(\([^\n]*?\)\)|\$\([^()\n]*\)|`[^`\n]*`")
ARITHMETIC = re.compile(
    r"\$\(\(([^\n]*?)\)\)|\$\(\s*expr\s+([^()\n]*)\)"
)  # sums of whole numbers, as shells write them
SUM = re.compile(r"\x01([^\x02]*)\x02")
NAME = re.compile(r"[A-Za-z_]\w*")
WHOLE = re.compile(r"[\d+*/%() -]{1,100}")
MOST = 40  # rounds: a variable may stand in another's default


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Text with the variables that are known, and the defaults of those that are not; the rest stays as it is written.

    >>> expanded("--tp ${TP:-2} $MODEL ${EAGER:+--enforce-eager}", {"MODEL": "7b"})
    '--tp 2 7b '
    """
    for _ in range(MOST):
        again = BRACES.sub(lambda found: _braced(found, known), text)
        if again == text:
            break
        text = again
    text = BARE.sub(lambda found: known.get(found[1], found[0]), text)
    text = text.replace("\x00", "${").replace("\x04", "}")
    return SUM.sub(lambda found: _sum(found[1], known), text)


def summed(text: str) -> str:
    """Text whose sums stand as one word each, and whose commands in a command are left open.

    >>> expanded(summed("--nproc $((GPUS * 2)) $(hostname)"), {"GPUS": "4"})
    '--nproc 8 $computed'
    """
    marked = ARITHMETIC.sub(lambda found: "\x01" + re.sub(r"\s+", "", found[1] or found[2]) + "\x02", text)
    return COMPUTED.sub("$computed", marked)


def _sum(text: str, known: Mapping[str, str]) -> str:
    text = NAME.sub(
        lambda found: known.get(found[0], found[0]), text.replace("$", "").replace("{", "").replace("}", "")
    )
    if not WHOLE.fullmatch(text) or "**" in text:
        return "$computed"
    try:
        return str(expressions.value(text.replace("/", "//"), {}))
    except (ValueError, SyntaxError, ArithmeticError, TypeError):
        return "$computed"


def _braced(found: re.Match[str], known: Mapping[str, str]) -> str:
    name, how, words = found[1], found[2] or "", found[3] or ""
    value = known.get(name)
    if "+" in how:
        return words if value else ""
    if value:
        return value
    return words if "-" in how or "=" in how else f"\x00{name}\x04"


def open_variable(value: object) -> bool:
    """Whether a value is still a variable, or a place for one, such as `<your model>`.

    >>> open_variable("$MODEL"), open_variable("<your_path>"), open_variable("a<b"), open_variable(3)
    (True, True, False, False)
    """
    return isinstance(value, str) and bool(HOLE.search(value))


def open_name(value: object) -> bool:
    """The same of the last part of a path, which is what it is called.

    >>> open_name("$MODELS/Qwen3-8B"), open_name("$ROOT/$MODEL"), open_name("${ROOT}/models/")
    (False, True, False)
    """
    return open_variable(str(value).rstrip("/").rpartition("/")[2]) if isinstance(value, str) else False


def linked(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Values with `${section.key}` replaced by the value of that key, where there is one."""
    return {key: _linked(value, flat, 0) for key, value in flat.items()}


def _linked(value: object, flat: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(value, str) or "${" not in value or depth > 9:
        return value
    whole = INNER.fullmatch(value)
    if whole and whole[1] in flat:
        return _linked(flat[whole[1]], flat, depth + 1)
    return INNER.sub(lambda found: str(flat[found[1]]) if found[1] in flat else found[0], value)[:1000]
