"""One page about a search: what it decided, why, and how to go on."""

import base64
import html
import io
import json
import pathlib
import string

import numpy as np

from snas_keras import spaces
from snas_keras import supernet as supernet_lib
from snas_keras._utils import files
from snas_keras._utils import text as text_lib
from snas_keras.reports import _figures, _log

REPORT = "report.html"
WARNINGS = "warnings.jsonl"
# What `retention_report` and `pareto_report` save, where they are there.
SAVED = {
    "retention": (
        "What the child keeps of the search",
        "Means on the validation data; the bars' ends are one deviation.",
    ),
    "pareto": (
        "Children that no other beats in everything",
        "All children by two objectives; the line joins those of the table.",
    ),
}
_TOP = 5
_SHRINK = 0.85


def search_report(run_directory, path=None):
    """Write one self-contained HTML page about a search.

    It shows the summary, the costs against their limits, pictures of the cells
    or choices, of the course of the search and of the credit, the likeliest
    children, the genotype, the warnings of `HealthGuard`, and the program to go
    on with. Where `retention_report` or `pareto_report` was saved as
    `retention.json` or `pareto.json` in the same folder, they are on it too.

    The page needs no network, and may be written while the search still runs.

    Args:
        run_directory: path of the folder that `SearchLogger` writes to.
        path: path of the page, default `report.html` in that folder.

    Returns:
        pathlib.Path of the page.

    Raises:
        FileNotFoundError: there is no log in the folder.
        ValueError: the log, or a warning, is damaged; the message names file
            and line.
        ModuleNotFoundError: matplotlib is missing; the message names the extra.

    Example:

    >>> search_report("runs/none")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FileNotFoundError: There is no file 'runs/none/search.json'...
    """
    run_directory = pathlib.Path(run_directory)
    about, lines = _log.read_log(run_directory)
    path = pathlib.Path(path or run_directory / REPORT)
    sections = [
        _summary(about, lines),
        _warnings(run_directory / WARNINGS),
        _costs(about, lines[-1]),
        _decisions(about, lines[-1]),
        _course(about, lines),
        *(
            _saved(run_directory / name, *texts)
            for name, texts in SAVED.items()
        ),
        _children(about, lines[-1]),
        _go_on(lines[-1]["genotype"]),
    ]
    page = _PAGE.substitute(
        title=html.escape(f"Search of {about['name']}"),
        body="\n".join(section for section in sections if section),
        versions=html.escape(
            ", ".join(f"{k} {v}" for k, v in about["versions"].items())
        ),
    )
    with files.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _summary(about, lines):
    last = lines[-1]
    entropy = sum(last["entropy"].values())
    most = sum(np.log(len(c)) for c in about["choices"].values())
    rows = [
        ("choices", f"{len(about['choices'])}"),
        ("children in the space", _count(about["children"])),
        ("epochs", f"{len(lines)}"),
        ("time", _duration(sum(line["seconds"] for line in lines))),
        ("temperature", f"{last['temperature']:.3g}"),
        ("entropy left", f"{100 * entropy / most:.0f} %" if most else "none"),
        *((name, _number(value)) for name, value in last["logs"].items()),
    ]
    return _section("Summary", _table("After the last epoch.", (), rows))


def _warnings(path):
    if not path.exists():
        return ""
    entries = _log.read_lines(path, {"epoch": int, "message": str})
    items = "".join(
        f"<li>Epoch {w['epoch'] + 1}: {html.escape(w['message'])}</li>"
        for w in entries
    )
    return _section("Warnings", f"<ul>{items}</ul>") if entries else ""


def _costs(about, last):
    if not about["costs"]:
        return ""
    rows = [
        (
            name,
            *(_number(known[key]) for key in ("minimum", "maximum", "limit")),
            *(
                _number(last["costs"].get(name, {}).get(key))
                for key in ("expected", "child")
            ),
        )
        for name, known in about["costs"].items()
    ]
    head = (
        *("cost", "cheapest child", "dearest child", "limit"),
        *("expected", "child"),
    )
    caption = "Whole children, after the last epoch."
    return _section("Costs", _table(caption, head, rows))


def _decisions(about, last):
    choices, p = about["choices"], last["probabilities"]
    cells = _figures.cells_of(choices)
    shown = [
        _picture(
            _figures.cell(name, choices, p, last["genotype"]),
            f"The cell {name}. An arrow is as wide as its candidate is "
            "probable; none is dashed.",
        )
        for name in cells
    ]
    shown.append(
        _picture(
            _figures.choices(choices, p),
            "The probabilities of all candidates.",
        )
    )
    shown.append(
        _picture(
            _figures.credit(choices, last),
            "Moving means over the last hundred steps or so. Left: the credit, "
            "what a little more of a candidate does to the task loss; blue "
            "helps. Then what pulls at the logits, the task and the penalty; "
            "blue raises the candidate. Grey: no such candidate.",
        )
    )
    return _section("Decisions", "".join(shown))


def _course(about, lines):
    return _section(
        "Course of the search",
        _picture(
            _figures.search(about, lines),
            "Metrics, entropy, temperature, and costs against their limits.",
        )
        + _picture(
            _figures.probabilities(about["choices"], lines),
            "The probability of every candidate, choice by choice.",
        ),
    )


def _saved(path, title, caption):
    table, picture = path.with_suffix(".md"), path.with_suffix(".png")
    if not table.exists() or not picture.exists():
        return ""
    return _section(
        title,
        _markdown(table.read_text(), title)
        + _image(picture.read_bytes(), caption),
    )


def _markdown(text, title):
    """Turn the tables of a saved report into HTML; other lines are text."""
    parts, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            caption = f"{title}: {rows[0][0]}."
            parts.append(_table(caption, rows[0], rows[2:]))
            rows = []
        if line:
            parts.append(f"<p>{html.escape(line)}</p>")
    return "".join(parts)


def _children(about, last):
    with np.errstate(divide="ignore"):
        logits = {
            name: np.maximum(np.log(p), -700.0)
            for name, p in last["probabilities"].items()
        }
    distribution = supernet_lib.Distribution(about["choices"], logits)
    genotype = last["genotype"]
    return _section(
        "Genotype",
        _table(
            "The candidate of every choice.",
            ("choice", "candidate", "probability"),
            _chosen(about, last),
        )
        + "<details><summary>As JSON</summary>"
        + _code(spaces.Genotype(genotype).to_json())
        + "</details><h3>The likeliest children</h3>"
        + _likeliest(distribution, genotype),
    )


def _likeliest(distribution, genotype):
    found = distribution.top_k(_TOP)
    rows = [
        (
            str(rank),
            f"{np.exp(log_p):.3g}",
            ", ".join(
                f"{name}: {candidate}"
                for name, candidate in child.items()
                if candidate != genotype[name]
            )
            or "the genotype",
        )
        for rank, (child, log_p) in enumerate(found, 1)
    ]
    p = np.exp(distribution.log_prob(genotype))
    own = f"The genotype has the probability {p:.3g}."
    if found[0][0] != genotype:
        own += (
            " It is not the likeliest child: where that one is above a limit, "
            "the search names a likely one within."
        )
    return f"<p>{own}</p>" + _table(
        "Where they differ from the genotype.",
        ("rank", "probability", "differs in"),
        rows,
    )


def _chosen(about, last):
    """Return a row for each choice: its candidate in the genotype."""
    rows = []
    for name, candidate in last["genotype"].items():
        index = about["choices"][name].index(candidate)
        p = last["probabilities"][name][index]
        rows.append((name, candidate, f"{p:.3f}"))
    return rows


def _go_on(genotype):
    program = _PROGRAM.substitute(
        genotype=json.dumps(genotype, indent=4, ensure_ascii=False)
    )
    return _section(
        "Go on",
        "<p>Retrain the child from new weights and export it; <code>space"
        "</code> is your search space, <code>loss</code> your loss, <code>x"
        f"</code> and <code>y</code> are your data.</p>{_code(program)}",
    )


_PROGRAM = string.Template(
    """\
import snas_keras

genotype = snas_keras.Genotype($genotype)
child = snas_keras.build_child(space, genotype)
child.compile("adam", loss=loss, metrics=["accuracy"])
child.fit(x, y, batch_size=64, epochs=30)
child = snas_keras.for_inference(child)
snas_keras.export_saved_model(child, "saved_model", genotype)
genotype.save("genotype.json")
"""
)


def _section(title, content):
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>"


def _code(text):
    return f"<pre><code>{html.escape(text)}</code></pre>"


def _table(caption, head, rows):
    top = "".join(f'<th scope="col">{html.escape(x)}</th>' for x in head)
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    body = "".join(
        "<tr>"
        + f'<th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="wide"><table><caption>{html.escape(caption)}</caption>'
        f"{top}<tbody>{body}</tbody></table></div>"
    )


def _picture(figure, caption):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _image(buffer.getvalue(), caption)


def _image(content, caption):
    encoded = base64.b64encode(content).decode()
    text = html.escape(caption)
    # What is smaller can hardly be read: rather let the picture's box scroll.
    least = _SHRINK * int.from_bytes(content[16:20], "big")
    return (
        f'<figure><div class="wide"><img alt="{text}" '
        f'style="min-width: {least:.0f}px" '
        f'src="data:image/png;base64,{encoded}"></div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _count(number):
    return f"{number:,}" if number < 10**9 else f"{float(number):.3g}"


def _number(value):
    return "" if value is None else text_lib.number(value)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


_PAGE = string.Template(
    """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem;
       margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; max-width: 100%; }
.wide + * { margin-top: 1rem; }
p, li, figcaption { max-width: 45rem; }
table { border-collapse: collapse; overflow-wrap: normal; }
caption { text-align: left; font-size: .9rem; opacity: .8; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left;
         vertical-align: top; border-bottom: 1px solid #8884; }
tbody th { font-weight: normal; }
td { font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
figure .wide { background: white; }
img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: .9rem; opacity: .8; margin-top: .4rem; }
pre { overflow-x: auto; padding: 1rem; background: #8882; }
footer { margin-top: 3rem; font-size: .85rem; opacity: .7; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
<footer>$versions</footer>
</body>
</html>
"""
)
