"""Tables in Markdown (tabulate) and HTML (Jinja2), with escaped text."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Characters with a meaning in Markdown with GitHub's extensions.
_ACTIVE = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
# Beginnings of headings, lists and rules.
_FIRST = re.compile(r"^(\d*)([#+\-=.)])")


@dataclasses.dataclass(frozen=True)
class Table:
    r"""A table of text cells, rendered in Markdown and in HTML.

    `document` joins tables and paragraphs to a Markdown text; a Jinja2 template
    renders a table as HTML.

    Args:
        head: sequence of str, the titles of the columns; empty for none, which
            Markdown shows as an empty head.
        rows: sequence of sequences of str, one cell for each column; the first
            cell is the name of the row.
        caption: str, shown in HTML only. Default none.

    Raises:
        ValueError: a row has more or fewer cells than the others.

    Example:

    >>> table = Table(("candidate", "probability"), [("a|b", "0.5")])
    >>> print(table.markdown())
    | candidate   | probability   |
    |-------------|---------------|
    | a\|b        | 0.5           |
    """

    head: Sequence[str]
    rows: Iterable[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        head = tuple(map(str, self.head))
        rows = tuple(tuple(map(str, row)) for row in self.rows)
        object.__setattr__(self, "head", head)
        object.__setattr__(self, "rows", rows)
        lengths = {len(row) for row in ([head] if head else []) + [*rows]}
        if len(lengths) > 1:
            raise ValueError(
                "All rows of a table must have as many cells as its head. "
                f"Received: head={head}, rows of {sorted(lengths)} cells"
            )

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown.

        Returns:
            str, one line for each row. Cells are shown literally, except that
            line breaks become spaces.

        Raises:
            ModuleNotFoundError: tabulate is missing; the message names the
                extra.
        """
        width = max(map(len, [self.head, *self.rows]))
        return _tabulate().tabulate(
            [[escaped(cell) for cell in row] for row in self.rows],
            headers=[escaped(cell) for cell in self.head] or [""] * width,
            tablefmt="github",
            disable_numparse=True,
        )

    def html(self) -> Any:
        """Return the table as an element of HTML.

        Returns:
            markupsafe.Markup, a `table` element with the caption inside and
            every cell escaped.

        Raises:
            ModuleNotFoundError: Jinja2 is missing; the message names the extra.
        """
        return environment().from_string(_HTML).module.table(self)

    # Called by a template with automatic escaping.
    __html__ = html


def document(parts: Iterable[Table | str]) -> str:
    r"""Join tables and paragraphs to a Markdown text.

    Args:
        parts: iterable of Table and str; a str is plain text, not Markdown.

    Returns:
        str, with an empty line between parts.

    Raises:
        ModuleNotFoundError: tabulate is missing; the message names the extra.

    Example:

    >>> print(document(["The space *a*:", Table(("cost",), [("flops",)])]))
    The space \*a\*:
    <BLANKLINE>
    | cost   |
    |--------|
    | flops  |
    """
    return "\n\n".join(
        part.markdown()
        if isinstance(part, Table)
        else _FIRST.sub(r"\1\\\2", escaped(part))
        for part in parts
    )


def escaped(text: str) -> str:
    r"""Escape plain text for Markdown, in one line.

    Args:
        text: str, plain text. An underscore between letters has no meaning in
            Markdown and is not escaped.

    Returns:
        str.

    Example:

    >>> print(escaped("|skip_connect~0|"))
    \|skip_connect\~0\|
    """
    return _ACTIVE.sub(r"\\\g<0>", " ".join(str(text).split()))


def environment(**options: Any) -> Any:
    """Make a Jinja2 environment with automatic escaping.

    Args:
        **options: passed to `jinja2.Environment`, such as `loader`.

    Returns:
        jinja2.Environment. An undefined name in a template is an error.

    Raises:
        ModuleNotFoundError: Jinja2 is missing; the message names the extra.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise _missing("page", "Jinja2") from error
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def _tabulate():
    try:
        import tabulate
    except ModuleNotFoundError as error:
        raise _missing("table", "tabulate") from error
    return tabulate


def _missing(what, package):
    return ModuleNotFoundError(
        f"The {what} needs {package}. Install the extra: pip install "
        "'snas-keras[reports]'"
    )


_HTML = """\
{% macro table(this) %}
<table>
{% if this.caption %}
<caption>{{ this.caption }}</caption>
{% endif %}
{% if this.head %}
<thead><tr>
{% for cell in this.head %}
<th scope="col">{{ cell }}</th>
{% endfor %}
</tr></thead>
{% endif %}
<tbody>
{% for row in this.rows %}
<tr><th scope="row">{{ row[0] }}</th>
{%- for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endmacro %}
"""
