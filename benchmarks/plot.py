"""Draw the saved figures of benchmarks: throughput beside peers and limits, decoders, selection, labels, certificates.

`python benchmarks/plot.py` takes the newest of benchmarks/results/*.json by the date in its name and writes SVGs into
docs/. The same figures give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from record import RESULTS

matplotlib.use("svg")  # before pyplot: no display is asked for
# Text stays text: small, searchable, and the same whatever fonts a machine has. The salt makes ids the same each time.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "raylabel", "font.size": 9})

from matplotlib import pyplot  # noqa: E402

DOCS = Path(__file__).resolve().parent.parent / "docs"
THROUGHPUT, DECODE, SELECTION, EFFICIENCY = ("engine", "label"), "decode", "selection", "efficiency"
CERTIFICATE = "certificate"
OURS, PEER, LIMIT = "#1b6ca8", "#b8c4ce", "#c0392b"
BAR_IN, PANEL_IN, WIDTH_IN = 0.26, 0.75, 6.4

Result = dict[str, Any]


def newest(folder: Path, benchmark: str) -> Result | None:
    """What a benchmark saved last, by the date that its file's name ends with; None where it saved nothing.

    Raises:
        SystemExit: a file that is none of a benchmark's.
    """
    files = sorted(
        folder.glob(f"{benchmark}_*cores_*.json"), key=lambda file: (file.stem.rpartition("_")[2], file.stem)
    )
    if not files:
        return None
    try:
        result: Result = json.loads(files[-1].read_text(encoding="utf-8"))
        for name in ("hardware", "ratios", "limits", "peers"):
            result[name]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{files[-1]}: not the closing line of a benchmark ({error!r}); save it again") from error
    return result


def throughput(result: Result) -> dict[str, dict[str, float]]:
    """Images a second by workload and engine, raylabel first, from what `contest.tell` reports."""
    found: dict[str, dict[str, float]] = {}
    for workload, share in _ending(result["ratios"], "of the limit").items():
        found[workload] = {"raylabel": share * result["limits"][workload]}
    for name, rate in result["peers"].items():
        workload, _, peer = name.rpartition(": ")
        found[workload][peer] = rate
    return found


def _ending(named: dict[str, float], end: str) -> dict[str, float]:
    """Entries `x: end`, by x."""
    return {name.removesuffix(f": {end}"): value for name, value in named.items() if name.endswith(f": {end}")}


def draw_throughput(results: Sequence[Result], target: Path) -> None:
    """One panel a workload: a bar for each engine, and the limit as a line."""
    panels = [(workload, rates, r) for r in results for workload, rates in throughput(r).items()]
    figure, axes = _panels([len(rates) for _, rates, _ in panels])
    for axis, (workload, rates, result) in zip(axes, panels, strict=True):
        limit = result["limits"][workload]
        _bars(axis, rates, [f"{rate:,.0f}" for rate in rates.values()])
        _line(axis, limit, f"limit {limit:,.0f}", most=max(rates.values()), title=f"{workload}, {result['hardware']}")
    axes[-1].set_xlabel("images/s")
    _write(figure, target)


def draw_decode(result: Result, target: Path) -> None:
    """One panel a size of photos: speed over the bare loop's, and what is asked of raylabel as a line."""
    sizes: dict[str, dict[str, float]] = {}
    for name, rate in result["peers"].items():
        size, _, decoder = name.partition(", ")
        sizes.setdefault(size, {})[decoder] = rate
    figure, axes = _panels([len(rates) for rates in sizes.values()])
    for axis, (size, rates) in zip(axes, sizes.items(), strict=True):
        base, limit = rates["torchvision loop"], result["limits"][size]
        # raylabel's own ratio was taken turn by turn, which is steadier than a ratio of rates.
        ratios = {name: rate / base for name, rate in rates.items()} | {"raylabel": result["ratios"][size]}
        _bars(axis, ratios, [f"{ratio:.2f}" for ratio in ratios.values()])
        _line(axis, limit, f"asked {limit:.2f}", most=max(ratios.values()), title=f"{size}, {result['hardware']}")
    axes[-1].set_xlabel("decoding speed ÷ a bare torchvision loop's")
    _write(figure, target)


def draw_selection(result: Result, target: Path) -> None:
    """Two panels: seconds and peak memory of each strategy against the number of embeddings."""
    curves: dict[str, dict[str, dict[int, float]]] = {"seconds": {}, "peak_mb": {}}
    for name, value in result["peers"].items():
        strategy, _, rest = name.partition(": ")
        count, _, what = rest.partition(": ")
        if what in curves:
            curves[what].setdefault(strategy, {})[int(count)] = value
    figure, axes = pyplot.subplots(1, 2, figsize=(WIDTH_IN, 3.0), layout="constrained")
    for axis, (what, said) in zip(axes, (("seconds", "seconds"), ("peak_mb", "peak memory, MB")), strict=True):
        for strategy, values in curves[what].items():
            axis.plot(list(values), list(values.values()), marker="o", markersize=3, linewidth=1.2, label=strategy)
        axis.set_xscale("log")
        if what == "seconds":
            axis.set_yscale("log")
        else:  # from zero: what is flat should look so
            axis.set_ylim(0, 1.3 * max(value for values in curves[what].values() for value in values.values()))
        axis.set_title(said, loc="left", fontsize=9)
        axis.set_xlabel("embeddings")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.suptitle(result["hardware"], fontsize=9)
    _write(figure, target)


def draw_efficiency(result: Result, target: Path) -> None:
    """Two panels a data set, accuracy and macro-F1 against answers: auto and random before all others in grey."""
    sets = result["peers"]
    figure, axes = pyplot.subplots(
        len(sets), 2, figsize=(WIDTH_IN, 2.4 * len(sets)), squeeze=False, layout="constrained"
    )
    for row, (name, curves) in zip(axes, sets.items(), strict=True):
        budgets = result["limits"][name]["budgets"]
        for measure, (axis, said) in enumerate(zip(row, ("accuracy, %", "macro-F1, %"), strict=True)):
            for strategy in sorted(curves, key=lambda strategy: (strategy == "auto", strategy == "random")):
                values = [100 * point[measure] for point in curves[strategy]]
                color = {"auto": OURS, "random": LIMIT}.get(strategy, PEER)
                front = color != PEER
                label = strategy if front else None
                axis.semilogx(budgets[: len(values)], values, color=color, linewidth=1.8 if front else 0.7, label=label)
            axis.set_title(f"{name}: {said}", loc="left", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("answers")
    axes[0, 0].plot([], [], color=PEER, linewidth=0.7, label="single strategies, ours and scikit-activeml's")
    axes[0, 0].legend(frameon=False, fontsize=7)
    _write(figure, target)


def draw_certificate(result: Result, target: Path) -> None:
    """A row a promise at eps = alpha = 5 %: broken promises and coverage of the oracle's against audit answers."""
    styles = {"uniform": OURS, "targeted": "#5aa9dd", "empirical": LIMIT, "TBAL": "#e59866", "PAC labels": "#8e7cc3"}
    figure, axes = pyplot.subplots(2, 2, figsize=(WIDTH_IN, 5.0), layout="constrained")
    for row, promise in zip(axes, ("auto", "whole"), strict=True):
        curves: dict[str, dict[int, list[float]]] = {}
        for name, point in _following(result["peers"], f"{promise}, 0.05, 0.05, ").items():
            size, _, rule = name.partition(": ")
            curves.setdefault(rule, {})[int(size)] = point
        for part, (axis, said) in enumerate(zip(row, ("promises broken", "coverage ÷ the oracle's"), strict=True)):
            for rule, points in curves.items():
                values = [point[part] for point in points.values()]
                label = f"raylabel, {rule} audit" if rule in ("uniform", "targeted") else rule
                axis.semilogx(list(points), values, color=styles[rule], marker="o", markersize=3, label=label)
            axis.set_title(f'"{promise}": {said}', loc="left", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_ylim(bottom=0)
        row[0].axhline(0.05, color="black", linewidth=0.8, linestyle="--", label="allowed, 5 %")
        row[0].legend(frameon=False, fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("audit answers")
    _write(figure, target)


def _following(named: dict[str, Any], start: str) -> dict[str, Any]:
    """Entries that begin so, by what follows."""
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def _panels(bars: Sequence[int]) -> tuple[Any, Any]:
    """Panels below each other, as high as their bars want."""
    height = sum(BAR_IN * count + PANEL_IN for count in bars)
    figure, axes = pyplot.subplots(
        len(bars), 1, figsize=(WIDTH_IN, height), height_ratios=bars, squeeze=False, layout="constrained"
    )
    return figure, axes[:, 0]


def _bars(axis: Any, values: dict[str, float], said: Sequence[str]) -> None:
    """Horizontal bars, the first on top, raylabel's in another colour."""
    bars = axis.barh(
        list(values), list(values.values()), color=[OURS if name == "raylabel" else PEER for name in values]
    )
    axis.bar_label(bars, said, padding=3)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)


def _line(axis: Any, at: float, label: str, *, most: float, title: str) -> None:
    """A line to hold the bars against, of which the longest is `most`, and the panel's title."""
    axis.axvline(at, color=LIMIT, linewidth=1.5, label=label)
    axis.set_xlim(0, 1.18 * max(at, most))
    axis.set_title(title, loc="left", fontsize=9)
    axis.legend(loc="lower right", frameon=False)


def _write(figure: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    print(target)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw what was saved; benchmarks that were not are left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the .json files that --save writes")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder for the SVGs")
    options = parser.parse_args(argv)
    contests = [found for name in THROUGHPUT if (found := newest(options.results, name))]
    single = {
        DECODE: draw_decode,
        SELECTION: draw_selection,
        EFFICIENCY: draw_efficiency,
        CERTIFICATE: draw_certificate,
    }
    saved = {name: found for name in single if (found := newest(options.results, name))}
    if not contests and not saved:
        names = ", ".join((*THROUGHPUT, *single))
        raise SystemExit(f"{options.results}: holds no figures of {names}; run one of those benchmarks with --save")
    if contests:
        draw_throughput(contests, options.out / "throughput.svg")
    for name, found in saved.items():
        single[name](found, options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
