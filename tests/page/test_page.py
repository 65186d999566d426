"""The page holds the records' numbers, whole or in part, and nothing that runs or calls out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from dac.cli.main import main
from dac.errors import UserError
from dac.page.results import Setup, load_results
from dac.page.table import tables
from dac.page.words import words
from dac.page.write import page_text, write_page
from dac.report.tables import main as main_table

Make = Callable[..., Path]
NAMES = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>&lt;&amp;",
    "{{ 7 * 7 }}{% for x in y %}",
    "</title></style></script><!--",
    "\x1b[31mred\u202eשלום\n🙂",
    "x" * 3000,
]


class _Page(HTMLParser):
    """A page's tags, attributes and visible text; and what elements begin with, by their tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open = ""
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.inside: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open = tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside[self.open][-1] += data
        if self.open not in ("style", "script"):
            self.text += data


def _page(results: Path, scene: str = "toy") -> _Page:
    return _Page(page_text(load_results(results, scene)))


def _sections(page: _Page) -> list[str]:
    return [value for tag, name, value in page.attributes if (tag, name) == ("h2", "id")]


def test_the_scores_are_those_of_the_main_table(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tmp_path / "results", gains=(0.4, -0.1, 0.3, -0.2))
    scores = tables(load_results(results, "toy")).scores
    files = {kind: tmp_path / f"main.{kind}" for kind in ("csv", "md", "tex", "html")}
    records = sorted(results.rglob("evaluation.json"))
    main_table.write(records, files, {"paper_values": False}, "main")
    lines = [line.strip("| ").split(" | ") for line in files["md"].read_text().splitlines()[:7]]
    head, rows = lines[0], {line[1]: line for line in lines[2:]}
    page = _page(results)
    assert len(scores.rows) == len(rows) == 5 and set(scores.parts) == {"main"}
    overs = []
    for name, psnr, ssim, ms_ssim, gain, won, seeds, took in scores.cells:
        theirs = {
            h: t.strip("*").replace("\\", "") for h, t in zip(head, rows[name.text], strict=True)
        }
        assert [str(cell) for cell in (psnr, ssim, ms_ssim)] == [
            theirs[metric] for metric in ("PSNR ↑", "SSIM ↑", "MS-SSIM ↑")
        ]
        assert (gain.text, won.text) == (theirs["Gain"].split(" over ")[0], theirs["Won"])
        assert (took.text, took.more) == (theirs["Steps"], f"{theirs['Seconds']} s")
        assert seeds.text in "12" and gain.text in page.text
        overs.append(gain.more)
    assert overs.count("over KPlanes (2x)") == 2


def test_costs_are_bars_of_the_largest(make_results: Make, tmp_path: Path) -> None:
    costs = tables(load_results(make_results(tmp_path, modes=["paper"]), "toy")).costs
    assert {line[0].text: (line[1].text, line[1].bar) for line in costs.cells} == {
        "KPlanes (1x)": ("100", round(100 / 3.4, 2)),
        "KPlanes (2x)": ("200", round(200 / 3.4, 2)),
        "DaC-KPlanes": ("340", 100.0),
        "Experts-KPlanes": ("200", round(200 / 3.4, 2)),
    }


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"gains": [0.25] * 4},
            "DaC is 0.25 dB [0.25, 0.25] ahead of the baseline of twice the steps, over 2 seeds.",
        ),
        (
            {"gains": [-0.25] * 4, "seeds": [7]},
            "DaC is 0.25 dB [0.25, 0.25] behind the baseline of twice the steps, from one seed.",
        ),
        (
            {"gains": [1, -1, 1, -1]},
            "DaC shows no difference from the baseline of twice the steps: +0.00 dB [",
        ),
        ({"twice": False}, "DaC has 23.26 dB; no baseline of twice the steps was trained"),
        ({"modes": []}, "One model of all views has 23.01 dB on test views."),
    ],
    ids=["ahead", "behind", "none", "no 2x", "no DaC"],
)
def test_the_verdict(
    make_results: Make, tmp_path: Path, options: dict[str, object], line: str
) -> None:
    said = words(
        load_results(make_results(tmp_path, **{"modes": ["paper"], **options}), "toy")
    ).verdict
    assert len(said) == 1 and said[0].replace("\xa0", " ").startswith(line)


def test_every_mode_has_its_verdict(make_results: Make, tmp_path: Path) -> None:
    said = words(load_results(make_results(tmp_path), "toy"))
    assert [line.split(" is ")[0] for line in said.verdict] == ["DaC (corrected)", "DaC (paper)"]
    assert "ahead" in said.verdict[0] and "behind" in said.verdict[1]
    assert [one.zero for one in said.differences] == [said.differences[0].zero] * 4
    for one in said.differences:
        assert 0 <= one.low <= one.mean <= one.high <= 100
        assert (one.mean > one.zero) == one.text.startswith("+")


def test_what_was_done(make_results: Make, tmp_path: Path) -> None:
    done = words(load_results(make_results(tmp_path), "toy")).done
    assert done == (
        "12 training views were divided by azimuth into 2 groups, and an expert was trained on "
        "each for 100 steps. One model of the original size was distilled from them in 80 steps "
        "and fine-tuned on the images in 60; the scores are means over 4 test views."
    )


def test_caveats(make_results: Make, tmp_path: Path) -> None:
    fast = words(
        load_results(make_results(tmp_path / "fast", seeds=[0], doubling=0.61), "toy")
    ).caveats
    assert "Not saturated" in fast[0] and fast[1].startswith("One seed")
    slow = words(load_results(make_results(tmp_path / "slow", doubling=0.59), "toy")).caveats
    assert len(slow) == 1 and "Nearly saturated" in slow[0]


ALL = ["verdict", "views", "partition", "scores", "curves", "cost", "settings", "provenance"]


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, []),
        ({"points": False}, []),
        ({"seeds": [0]}, []),
        ({"experts": False}, []),
        ({"once": False}, []),
        ({"frozen": False}, []),
        ({"curves": False}, ["curves"]),
        ({"renders": False}, ["views"]),
        ({"partition": False}, ["partition"]),
        ({"twice": False}, []),
        ({"modes": []}, []),
        (
            {"modes": [], "partition": False, "twice": False},
            ["partition"],
        ),
    ],
    ids=str,
)
def test_what_is_missing_is_left_out(
    make_results: Make, tmp_path: Path, options: dict[str, object], missing: list[str]
) -> None:
    page = _page(make_results(tmp_path, **options))
    assert _sections(page) == [f"h-{name}" for name in ALL if name not in missing]
    assert ("sparse points in the colour" in page.text) == (
        options.get("points", True) and "partition" not in missing
    )
    assert ("± the standard deviation" in page.text) == (options.get("seeds") != [0])
    assert ("Experts-KPlanes" in page.text) == bool(
        options.get("experts", True) and options.get("modes", True)
    )
    assert not re.search(r"\b(nan|None|inf)\b", page.text)


def test_nothing_scored_is_one_line(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tmp_path, modes=[], once=False, twice=False)
    with pytest.raises(UserError, match="toy: holds no evaluation yet; run the workflow first"):
        write_page(results, "toy", tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_parts_of_another_scene_are_one_line(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tmp_path, seeds=[0], modes=["paper"])
    renders = results / "toy/kplanes/seed0/baseline-200/evaluation/renders.npy"
    np.save(renders, np.load(renders)[:, 1:])
    with pytest.raises(UserError, match=r"renders.npy: holds other pictures"):
        page_text(load_results(results, "toy"))
    file = results / "toy/azimuth-2/partition.json"
    file.write_text(file.read_text().replace("view00", "view99"))
    with pytest.raises(UserError, match=r"partition.json: divides other views"):
        load_results(results, "toy")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_shown_and_nothing_of_it_runs(
    make_results: Make, tmp_path: Path, name: str
) -> None:
    pages = []
    for each in ("plain", name):
        results = make_results(tmp_path / str(len(pages)), name=each)
        _rename_everywhere(results, each)
        pages.append(_page(results))
    plain, hostile = pages
    assert hostile.tags == plain.tags
    assert [a[:2] for a in hostile.attributes] == [a[:2] for a in plain.attributes]
    assert hostile.inside["script"][-1] == plain.inside["script"][-1]
    shown = hostile.inside["h1"][0]
    assert (shown.isprintable() and len(shown) < 600 and shown[:10] == name[:10]) or "\\" in shown


def _rename_everywhere(results: Path, name: str) -> None:
    """Give hostile values to what the page shows of records and settings."""
    for file in results.rglob("evaluation.json"):
        record = json.loads(file.read_text())
        record |= {"device": name, "git_commit": name, "versions": {name: name}}
        record["inputs"] = {name: name}
        file.write_text(json.dumps(record))
    for file in results.rglob("settings/baseline.json"):
        file.write_text(json.dumps({"settings": {"train": {name: name, f"{name}2": [name]}}}))
    for file in results.rglob("partition.json"):
        partition = json.loads(file.read_text()) | {"notes": [name], "division": name}
        file.write_text(json.dumps(partition))
    for file in results.rglob("scene.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"log": [name]}))


def test_the_policy_names_the_page_s_own_scripts_and_styles_alone(
    make_results: Make, tmp_path: Path
) -> None:
    page = _page(make_results(tmp_path))
    policy = next(v for t, n, v in page.attributes if (t, n) == ("meta", "content") and "src" in v)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind, text in (("style", page.inside["style"][0]), ("script", page.inside["script"][-1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for tag, name, value in page.attributes:
        assert name != "style" and not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("data:image/webp;base64,", "#")), tag
    assert not re.findall(r"https?:|url\((?!#)|@import", page.inside["style"][0])
    assert "://" not in page.inside["script"][-1]


def test_equal_results_give_equal_bytes_wherever_they_lie(
    make_results: Make, tmp_path: Path
) -> None:
    results = make_results(tmp_path / "one")
    size = write_page(results, "toy", tmp_path / "a.html")
    shutil.copytree(results, tmp_path / "elsewhere" / "two")
    write_page(tmp_path / "elsewhere" / "two", "toy", tmp_path / "b.html")
    page = (tmp_path / "a.html").read_bytes()
    assert len(page) == size and page == (tmp_path / "b.html").read_bytes()


def test_the_page_is_about_the_dac_with_the_most_runs(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tmp_path)
    runs = results / "toy/kplanes/seed0"
    ours = runs / "azimuth-2/corrected/distill-80-finetune-60/evaluation"
    record = json.loads((ours / "evaluation.json").read_text())
    for run, change in (
        ("azimuth-2/corrected/distill-100-finetune-60", {"distill_steps": 100}),
        ("random-2/corrected/distill-80-finetune-60", {"division": "random"}),
        ("single-1/corrected/distill-9-finetune-60", {"division": "single", "distill_steps": 9}),
    ):
        other = record | {"label": record["label"] | change}
        (runs / run / "evaluation").mkdir(parents=True)
        (runs / run / "evaluation" / "evaluation.json").write_text(json.dumps(other))
    found = load_results(results, "toy")
    assert found.setup == Setup("azimuth", 2, 80, 60)
    assert found.choices == 2 and "2 divisions and schedules" in words(found).choice
    # A control of the same schedule is shown; one of another schedule is none.
    assert [row.label.division for row in found.control_rows] == ["random"]
    assert any("DaC of a random division" in text for text in tables(found).findings)


def test_the_command(
    make_results: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = make_results(tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["dac", "report", str(results)])
    with pytest.raises(SystemExit) as end:
        main()
    file = results / "report-toy.html"
    size = file.stat().st_size
    assert end.value.code in (0, None)
    assert capsys.readouterr().out == f"{file}: {size / 1e6:.2f} MB\n"
    assert 30_000 < size < 200_000
    monkeypatch.setattr(sys, "argv", ["dac", "report", str(results), "--scene", "nothing"])
    with pytest.raises(SystemExit, match="holds no scene nothing; there is: toy"):
        main()
