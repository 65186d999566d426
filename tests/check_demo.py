"""Check a finished demo: `python tests/check_demo.py` after `make demo`, in the repository's root.

Both scenes and all four methods are in the table with finite metrics, every method is at least
4 dB above rendering each view with the training views' mean image, the routed model is ahead of the
baseline of its path and its file no larger than that one's, the data terms of the loss fell in
every phase of every run, and every entry of the report opens in a browser.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

RESULTS = Path("results")
METHODS = ["baseline-1x", "baseline-2x", "merged", "routed"]
MARGIN = 4.0  # dB above the mean image


def faults() -> list[str]:
    """What is wrong with the demo's results, one sentence each."""
    with (RESULTS / "tables" / "main.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = []
    for scene in ("pocket_lighthouse", "village_square"):
        methods = [row["method"] for row in rows if row["scene"] == scene]
        if methods != METHODS:
            found.append(f"{scene} has the methods {methods}, not {METHODS}")
    for row in rows:
        where = f"{row['scene']}, {row['method']}"
        metrics = [float(row[name] or "nan") for name in ("psnr", "ssim", "ms_ssim")]
        if not all(map(math.isfinite, metrics)):
            found.append(f"{where}: metrics {metrics}")
        above = float(row["psnr"]) - float(row["mean_image_psnr"])
        print(f"{where}: {float(row['psnr']):.2f} dB, {above:.2f} dB above the mean image")
        if not above >= MARGIN:
            found.append(f"{where}: {above:.2f} dB above the mean image, not {MARGIN:g}")
        if row["method"] == "routed":
            found += _faults_of_routed(row, rows, where)
    curves = sorted(RESULTS.glob("*/kplanes/**/curve.json"))
    if len(curves) < 10:
        found.append(f"only {len(curves)} curves")
    for path in curves:
        # The photometric term where a phase sees images; what compares with the experts elsewhere.
        losses = json.loads(path.read_text(encoding="utf-8"))["losses"]
        terms = ["photometric"] if "photometric" in losses else ["alpha", "colour", "rendered"]
        first, last = (sum(losses[term][at] for term in terms) for at in (0, -1))
        if not last < first:
            found.append(f"{path}: the loss went from {first:.5f} to {last:.5f}")
    return found + _faults_of_report(RESULTS / "report.html")


def _faults_of_report(report: Path) -> list[str]:
    """What is wrong when all that the report has is clicked: an error said, or nothing shown."""
    from playwright.sync_api import sync_playwright

    found, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)

        def opened(*path: str) -> None:
            """The report anew, and its entries one after the other."""
            page.goto(report.resolve().as_uri())
            for name in path:
                page.get_by_text(name, exact=True).first.click()
            page.wait_for_timeout(300)

        opened()
        if page.locator("#app #rulegraph").is_visible():
            found.append("report.html begins with the graph of the rules")
        entries = 0
        for category in ("All scenes", "pocket_lighthouse", "village_square"):
            opened(category)
            rows = page.locator("tbody tr")
            for row, text in enumerate(rows.all_inner_texts()):
                for button, kind in enumerate(("the result", "its caption")):
                    opened(category)
                    rows.nth(row).locator("a").nth(button).click()
                    page.wait_for_timeout(300)
                    shown = page.locator("img[src*=filename], iframe").count() > 1
                    if not (shown if button == 0 else len(page.inner_text("body")) > 500):
                        found.append(f"report.html, {category}, {text.split()}: {kind} is empty")
                    entries += 1
        for name in ("Workflow", "Statistics", "About"):
            opened(name)
        print(f"report.html: {entries} entries opened")
        if entries < 20:
            found.append(f"report.html has only {entries} entries")
        browser.close()
    return found + [f"report.html says {line}" for line in said]


def _faults_of_routed(row: dict[str, str], rows: list[dict[str, str]], where: str) -> list[str]:
    """What is wrong beside the baseline of the same path."""
    once = next(r for r in rows if (r["scene"], r["method"]) == (row["scene"], "baseline-1x"))
    found = []
    if row["path_steps"] != once["path_steps"] or row["gain_over"] != "baseline-1x":
        found.append(f"{where}: held against {row['gain_over']}, a path of {once['path_steps']}")
    if not float(row["gain_psnr"]) > 0:
        found.append(f"{where}: {row['gain_psnr']} dB over the baseline of the same path")
    if int(row["model_bytes"]) > int(once["model_bytes"]):
        found.append(f"{where}: {row['model_bytes']} bytes, the baseline {once['model_bytes']}")
    return found


if __name__ == "__main__":
    wrong = faults()
    print("\n".join(wrong) or "the demo is as it should be")
    sys.exit(bool(wrong))
