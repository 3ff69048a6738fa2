"""HTML that cannot be broken by what it shows: text is escaped unless it is markup made here."""

from html import escape


class Markup(str):
    """HTML that is ready."""

    __slots__ = ()


VOID = ("input", "meta", "link", "br", "hr")


def tag(name: str, /, *inside: object, **attributes: object) -> Markup:
    """An element. Attributes: None and False are left out, True stands alone; class_ and for_ are class and for.

    >>> tag("p", "a < b", tag("b", "!"), class_="note", hidden=False)
    '<p class="note">a &lt; b<b>!</b></p>'
    """
    head = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    return Markup(f"<{name}{head}>" if name in VOID else f"<{name}{head}>{joined(*inside)}</{name}>")


def joined(*parts: object) -> Markup:
    """Parts one after the other; None is nothing."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(str(part)) for part in parts if part is not None)
    )


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def figure(text: str) -> Markup:
    """A figure, broken into lines before its range alone.

    >>> figure("$2 (1-4)")
    '<span>$2</span> <span>(1-4)</span>'
    """
    value, _, spread = text.partition(" (")
    return joined(tag("span", value), *([" ", tag("span", f"({spread}")] if spread else []))


def breaking(name: str) -> Markup:
    """A name that breaks at its underscores where there is no room.

    >>> breaking("kv_bytes")
    'kv_<wbr>bytes'
    """
    return Markup("_<wbr>".join(map(escape, name.split("_"))))


def table(head: list[object], body: list[list[object]], caption: str = "", **attributes: object) -> Markup:
    """A table whose first column names the rows."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    rows = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in body)
    parts = (tag("caption", caption) if caption else None, tag("thead", top), tag("tbody", *rows))
    return tag(
        "div",
        tag("table", *parts, **attributes),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label=caption or None,
    )


def listing(items: list[object], **attributes: object) -> Markup | None:
    """A list; nothing where there is nothing."""
    return tag("ul", *(tag("li", item) for item in items), **attributes) if items else None


def folded(summary: object, *inside: object, **attributes: object) -> Markup:
    """What opens when it is asked for."""
    return tag("details", tag("summary", summary), *inside, **attributes)
