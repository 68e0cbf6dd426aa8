"""The page about a search, read as text and opened in a real browser."""

import html
import itertools
import json
import re
import shutil

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import objectives, reports
from snas_keras._utils import plots
from snas_keras.reports import _cell_figures, _figures, _retention_report
from tests import planted

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ALONE = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of the paper's cells, and one with all that may be there."""
    made = {}
    for kind in planted.KINDS:
        made[kind] = tmp_path_factory.mktemp(kind)
        planted.write(made[kind], kind)
    reports.RetentionReport(
        metric="accuracy",
        values={
            _retention_report.SEARCH: [0.8, 0.9],
            _retention_report.MODE: [0.7],
        },
        cost="flops",
        costs={"child": 5.8e5},
    ).save(made["chain"] / "retention.json")
    objectives.ParetoReport(
        {"accuracy": "max", "flops": "min"},
        {
            "a": {"accuracy": 0.9, "flops": 9},
            "b": {"accuracy": 0.8, "flops": 3},
        },
    ).save(made["chain"] / "pareto.json")
    warning = {"epoch": 3, "message": "skips <took> over"}
    (made["chain"] / "warnings.jsonl").write_text(json.dumps(warning) + "\n")
    for folder in made.values():
        path = snas_keras.search_report(folder)
        assert path == folder / "report.html"
    return made


@pytest.fixture
def pages(folders):
    return {
        kind: (folder / "report.html").read_text()
        for kind, folder in folders.items()
    }


def cells_of(page, head):
    """Return the row of a table that begins with `head`."""
    [row] = re.findall(
        rf'<th scope="row">{re.escape(html.escape(head))}</th>(.*?)</tr>', page
    )
    return [html.unescape(c) for c in re.findall("<td>(.*?)</td>", row)]


def test_the_page_needs_nothing_but_itself(pages):
    for page in pages.values():
        assert "<script" not in page
        assert "http" not in page
        assert set(re.findall('(?:src|href)="([^:]*):', page)) == {"data"}


def test_the_page_says_what_the_log_says(pages, folders):
    about, lines = planted.run("cells")
    last = lines[-1]
    page = pages["cells"]
    share = sum(last["entropy"].values()) / (28 * np.log(8))
    assert cells_of(page, "children in the space") == ["1.93e+25"]
    assert cells_of(page, "epochs") == ["20"]
    assert cells_of(page, "time") == ["0:00:50"]
    assert cells_of(page, "entropy left") == [f"{100 * share:.0f} %"]
    assert cells_of(page, "accuracy") == ["0.9", "0.8"]
    assert cells_of(page, "flops") == [
        *("100,000", "1,000,000", "600,000", "600,000", "580,000")
    ]
    for name, candidate in last["genotype"].items():
        p = max(last["probabilities"][name])
        assert cells_of(page, name) == [candidate, f"{p:.3f}"]
    best = np.prod([max(p) for p in last["probabilities"].values()])
    assert cells_of(page, "1") == [f"{best:.3g}", "the genotype"]
    assert page.count("<img") == 2 + 4
    assert len(re.findall('<img alt="[^"]+"', page)) == 6


def test_a_genotype_that_is_not_the_likeliest_child_is_told_from_it(tmp_path):
    """As where a limit keeps the likeliest child out."""
    _, lines = planted.write(tmp_path, "chain")
    last = lines[-1]
    p = last["probabilities"]["block_0"]
    last["genotype"]["block_0"] = "skip"
    assert np.argmax(p) == 0
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (tmp_path / "search.jsonl").write_text(text)
    page = snas_keras.search_report(tmp_path).read_text()
    assert cells_of(page, "block_0") == ["skip", f"{p[2]:.3f}"]
    assert cells_of(page, "1")[1] == "block_0: conv_3x3"
    best = np.prod([max(p) for p in last["probabilities"].values()])
    own = f"The genotype has the probability {best / p[0] * p[2]:.3g}. "
    assert f"{own}It is not the likeliest child" in page
    children = re.findall("<tr>(.*?)</tr>", page.split("likeliest children")[1])
    assert sum("the genotype" in row for row in children) == 1


def test_the_pictures_of_cells_show_the_genotype(tmp_path, monkeypatch):
    _, lines = planted.write(tmp_path, "cells", epochs=1)
    lines[0]["genotype"] = dict.fromkeys(lines[0]["genotype"], "none")
    (tmp_path / "search.jsonl").write_text(json.dumps(lines[0]))
    drawn, draw = [], _cell_figures.cell

    def spy(*args):
        drawn.append(draw(*args))
        return drawn[-1]

    monkeypatch.setattr(_cell_figures, "cell", spy)
    snas_keras.search_report(tmp_path)
    written = [t.get_text() for f in drawn for t in f.axes[0].texts]
    assert sum(text.startswith("none ") for text in written) == 28


def test_saved_reports_and_warnings_are_on_the_page(pages):
    page = pages["chain"]
    assert "Epoch 4: skips &lt;took&gt; over" in page
    assert cells_of(page, _retention_report.SEARCH)[0] == "0.8500"
    assert cells_of(page, "a") == ["0.9", "9"]
    assert "Hypervolume" in page
    captions = re.findall("<caption>(.*?)</caption>", page)
    assert len(captions) == len(set(captions)) == 5 + 3
    assert "validation accuracy" in captions
    assert page.count("<img") == 4 + 2
    for absent in ("Warnings", "retention", "Hypervolume"):
        assert absent not in pages["cells"]


def test_names_are_text_not_markup(pages):
    assert "the head &lt;of&gt; the network" in pages["chain"]
    assert "<of>" not in pages["chain"]


def test_the_program_to_go_on_runs(tmp_path, monkeypatch, compiled):
    """The page of a real search, and the program on it, as it stands."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, 64)
    x = generator.normal(size=(64, 8, 8, 1)).astype("float32")
    space = snas_keras.SEARCH_SPACES["digits"](filters=2)
    supernet = compiled(space)
    supernet.fit(
        *(x, y),
        verbose=0,
        callbacks=[
            snas_keras.SearchLogger(tmp_path, tensorboard=False),
            snas_keras.HealthGuard(tmp_path),
        ],
    )
    page = snas_keras.search_report(
        tmp_path, tmp_path / "page.html"
    ).read_text()
    codes = re.findall("<pre><code>(.*?)</code></pre>", page, re.DOTALL)
    shown, program = map(html.unescape, codes)
    assert snas_keras.Genotype.from_json(shown) == supernet.derive()
    program = program.replace("epochs=30", "epochs=1, verbose=0")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    exec(program, {"space": space, "x": x, "y": y, "loss": loss})
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()
    saved = snas_keras.Genotype.load(tmp_path / "genotype.json")
    assert saved == supernet.derive()


def test_a_missing_or_damaged_log_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"search\.json"):
        snas_keras.search_report(tmp_path)
    planted.write(tmp_path, "chain", epochs=3)
    log = tmp_path / "search.jsonl"
    text = log.read_text()
    for damaged, match in (
        (text[:-100], r"search\.jsonl, line 3 is damaged"),
        (
            text.replace('"genotype"', '"type"', 1),
            r"line 1 is not of a search log: .genotype. must",
        ),
        ("", "is empty: no epoch has ended"),
        (text.replace("block_0", "other"), "line 1, is of another search"),
        (text.replace('"conv_3x3"', '"x"'), "'block_0' takes 'x'"),
        (
            text.replace('"block_0": [', '"block_0": [0.0, ', 1),
            "line 1.* has 4 entries",
        ),
    ):
        log.write_text(damaged)
        with pytest.raises(ValueError, match=match):
            snas_keras.search_report(tmp_path)
    log.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"search\.jsonl is damaged"):
        snas_keras.search_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "key",
    ["epoch", "seconds", "logs", "temperature", "probabilities", "entropy"]
    + ["credit", "costs", "genotype"],
)
def test_a_line_must_have_every_key_of_its_kind(tmp_path, key):
    _, lines = planted.write(tmp_path, "chain", epochs=2)
    can_be_null = ("seconds", "temperature", "genotype")
    for wrong in ("text", [], *(() if key in can_be_null else (None,))):
        lines[1][key] = wrong
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / "search.jsonl").write_text(text)
        with pytest.raises(
            ValueError, match=f"line 2 is not of .*'{key}' must"
        ):
            snas_keras.search_report(tmp_path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"epoch": 1, "mess', r"warnings\.jsonl, line 2 is damaged"),
        ('{"epoch": 1}', "line 2 is not of .*'message' must"),
    ],
)
def test_a_damaged_warning_is_refused_by_name(tmp_path, text, match):
    planted.write(tmp_path, "chain", epochs=1)
    good = '{"epoch": 0, "message": "slow"}\n'
    (tmp_path / "warnings.jsonl").write_text(good + text)
    with pytest.raises(ValueError, match=match):
        snas_keras.search_report(tmp_path)


def test_a_resumed_search_may_follow_another_cost(tmp_path):
    about, _ = planted.write(tmp_path, "chain", epochs=2)
    about["costs"]["latency"] = about["costs"]["flops"]
    (tmp_path / "search.json").write_text(json.dumps(about))
    page = snas_keras.search_report(tmp_path).read_text()
    assert cells_of(page, "latency")[-2:] == ["", ""]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not CHROMIUM or not DRIVER:
        pytest.skip("no browser: install chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for argument in (*ALONE, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


MEASURE = """
const box = e => e.getBoundingClientRect();
return {
  sideways: document.documentElement.scrollWidth - window.innerWidth,
  width: window.innerWidth,
  images: [...document.images].map(i => i.complete && i.naturalWidth > 0),
  shrunk: Math.min(
    ...[...document.images].map(i => i.clientWidth / i.naturalWidth)),
  uncaptioned: [...document.querySelectorAll("table")]
    .filter(t => !t.caption || !t.caption.innerText).length,
  headings: [...document.querySelectorAll("h1, h2")].map(h => h.innerText),
  outside: [...document.querySelectorAll("p, li, h1, h2, figcaption")]
    .filter(e => box(e).right > window.innerWidth || box(e).left < 0).length,
  small: [...document.querySelectorAll("p, td, th, li, figcaption")]
    .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length,
};
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", planted.KINDS)
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_browser_shows_the_page(browser, folders, kind, width, height):
    """At desktop and phone width: no error, no sideways scrolling, all
    pictures there, nothing outside the window or too small to read."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": width < 600,
        },
    )
    browser.get((folders[kind] / "report.html").as_uri())
    found = browser.execute_script(MEASURE)
    assert browser.get_log("browser") == []
    assert found["width"] == width
    assert found["sideways"] <= 0
    assert found["images"] == [True] * 6
    assert found["headings"][:2] == [f"Search of {kind}", "Summary"]
    assert found["headings"][-1] == "Go on"
    assert found["outside"] == found["small"] == found["uncaptioned"] == 0
    # Of 8 points at 110 dots an inch at least 10 pixels are left.
    assert found["shrunk"] >= 0.84


@pytest.mark.slow
def test_the_browser_test_would_find_a_broken_page(browser, tmp_path):
    path = tmp_path / "broken.html"
    path.write_text(
        '<img src="data:image/png;base64,none"><div style="width: 5000px">x'
        "</div><script>missing()</script>"
    )
    browser.get(path.as_uri())
    found = browser.execute_script(MEASURE)
    assert found["sideways"] > 0
    assert found["images"] == [False]
    assert any("missing" in x["message"] for x in browser.get_log("browser"))


ODD = ("a|b", "|none~0|", "<b>", "$a_{$", "x" * 300)


def test_names_of_any_kind_read_right_on_the_page(tmp_path, monkeypatch):
    choices = {name: ("dense", "|skip_connect~0|", "<i>") for name in ODD}
    monkeypatch.setitem(planted.KINDS, "odd", choices)
    _, lines = planted.write(tmp_path, "odd", epochs=2)
    page = snas_keras.search_report(tmp_path).read_text()
    assert "could not be drawn" not in page
    for name, candidate in lines[-1]["genotype"].items():
        assert cells_of(page, name)[0] == candidate
    codes = re.findall("<pre><code>(.*?)</code></pre>", page, re.DOTALL)
    shown = snas_keras.Genotype.from_json(html.unescape(codes[0]))
    assert dict(shown) == lines[-1]["genotype"]


def test_the_page_begins_with_a_verdict(tmp_path):
    about, lines = planted.write(tmp_path, "chain")
    about["directions"] = {"accuracy": "max"}
    (tmp_path / "search.json").write_text(json.dumps(about))
    page = snas_keras.search_report(tmp_path).read_text()
    assert page.index('class="verdict"') < page.index("<h2>")
    assert "% of the entropy is left" in page
    child = "validation accuracy is 0.8 (larger is better)."
    assert child in html.unescape(page)
    assert "flops are 580,000, within the limit of 600,000" in page


def test_a_picture_that_fails_leaves_the_page(tmp_path, monkeypatch):
    def fails(*args):
        raise RuntimeError("no picture")

    planted.write(tmp_path, "chain", epochs=2)
    monkeypatch.setattr(_figures, "credit", fails)
    page = snas_keras.search_report(tmp_path).read_text()
    assert "could not be drawn: RuntimeError" in page
    assert page.count("<img") == 3


@pytest.mark.slow
def test_of_very_many_choices_the_least_decided_are_drawn(
    tmp_path, monkeypatch
):
    choices = {f"choice_{i}": ("a", "b") for i in range(150)}
    monkeypatch.setitem(planted.KINDS, "many", choices)
    planted.write(tmp_path, "many", epochs=1)
    page = snas_keras.search_report(tmp_path).read_text()
    assert page.count("Of 150 choices the 100 least decided.") == 6
    assert "choice_149" in page


def paths_of(content, path=()):
    yield path
    for key in content if isinstance(content, dict) else range(0):
        yield from paths_of(content[key], (*path, key))
    if isinstance(content, list):
        for index, one in enumerate(content[:1]):
            yield from paths_of(one, (*path, index))


def is_reported(folder):
    """Whether there is a page; else the file must have been named."""
    try:
        snas_keras.search_report(folder)
    except ValueError as error:
        return "search.json" not in str(error)
    return True


@pytest.mark.slow
def test_any_damaged_value_gives_a_page_or_is_refused(tmp_path, monkeypatch):
    """Every value of the log in turn by three of eight strange ones."""
    monkeypatch.setattr(plots, "png", lambda figure: b"\x89PNG" + bytes(20))
    about, lines = planted.write(tmp_path, "chain", epochs=1)
    outcomes = {True: 0, False: 0}
    strange = itertools.cycle((None, "x", -1, 1e999, 10**400, [], {}, True))
    for name, content in (("search.json", about), ("search.jsonl", lines[0])):
        text = json.dumps(content)
        for path in list(paths_of(content))[1:]:
            for wrong in itertools.islice(strange, 3):
                damaged = json.loads(text)
                place = damaged
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = wrong
                (tmp_path / name).write_text(json.dumps(damaged))
                outcomes[is_reported(tmp_path)] += 1
        (tmp_path / name).write_text(text)
    assert min(outcomes.values()) > 50
