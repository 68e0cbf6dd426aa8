"""The table: a reader of Markdown or HTML sees the cells that were given."""

import builtins
import html.parser

import markdown_it
import pytest

from snas_keras._utils import tables

ODD = (
    *("a|b", "|none~0|", "|nor_conv_3x3~0|+|none~0|none~1|", "<b>", "a > b"),
    *(
        "*bold*",
        "_leading",
        "trailing_",
        "__init__",
        "a_b_c",
        "$a_{$",
        "`code`",
    ),
    *("back\\slash", "a\\|b", "[link](x)", "&lt;", "~~gone~~", "x" * 300),
    *("größe", "卷积", "1e5", "007", "1. first", "- item", "# head", "= x"),
)


class Cells(html.parser.HTMLParser):
    """Collect the text of every element of the kinds asked for."""

    def __init__(self, kinds):
        super().__init__()
        self.kinds, self.cells, self.tags = kinds, [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in self.kinds:
            self.cells.append("")

    def handle_data(self, data):
        if self.cells and data.strip():
            self.cells[-1] += data


def cells_of(page, *kinds):
    found = Cells(kinds or ("th", "td"))
    found.feed(str(page))
    return found.cells


def rendered(markdown):
    reader = markdown_it.MarkdownIt("commonmark")
    return reader.enable(["table", "strikethrough"]).render(markdown)


@pytest.fixture(params=ODD, ids=range(len(ODD)))
def name(request):
    return request.param


def test_markdown_shows_every_name_as_it_is(name):
    table = tables.Table((name, "n"), [(name, "1"), ("x", name)])
    shown = cells_of(rendered(table.markdown()))
    assert [cell.strip() for cell in shown] == [name, "n", name, "1", "x", name]


def test_html_shows_every_name_as_it_is(name):
    table = tables.Table((name, "n"), [(name, "1")], caption=name)
    assert cells_of(table.html(), "caption", "th", "td") == [
        *(name, name, "n", name, "1")
    ]


def test_a_paragraph_shows_every_name_as_it_is(name):
    shown = rendered(tables.document([name, f"a cell {name}"]))
    assert cells_of(shown, "p") == [name, f"a cell {name}"]


def test_numbers_stay_as_they_were_written():
    text = tables.Table(("n",), [("1.50",), ("1,000",), ("",)]).markdown()
    assert text.splitlines()[2:] == ["| 1.50  |", "| 1,000 |", "|       |"]


def test_a_line_break_in_a_name_does_not_break_the_row():
    text = tables.Table(("n",), [("a\nb",)]).markdown()
    assert text.splitlines()[2:] == ["| a b |"]


def test_a_table_without_head_keeps_its_columns():
    table = tables.Table((), [("epochs", "3")])
    assert cells_of(rendered(table.markdown())) == ["", "", "epochs", "3"]
    assert "<thead>" not in table.html()


def test_a_template_is_given_the_table_itself():
    page = tables.environment().from_string("<p>{{ name }}</p>{{ table }}")
    text = page.render(name="<b>", table=tables.Table(("x",), [("<b>",)]))
    assert text.startswith("<p>&lt;b&gt;</p><table>")
    assert cells_of(text) == ["x", "<b>"]


def test_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"rows of \[1, 2\] cells"):
        tables.Table(("a", "b"), [("1",)])


@pytest.mark.parametrize("package", ["tabulate", "jinja2"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    load = builtins.__import__

    def without(name, *args, **options):
        if name == package:
            raise ModuleNotFoundError(name)
        return load(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    table = tables.Table(("a",), [("b",)])
    show = table.markdown if package == "tabulate" else table.html
    with pytest.raises(ModuleNotFoundError, match=r"snas-keras\[reports\]"):
        show()
