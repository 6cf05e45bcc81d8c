"""The benchmark's image."""

from pathlib import Path
from statistics import median

from benchmarks.http_benchmark import CONCURRENT, HttpResult
from benchmarks.perf_analyzer import Level


def draw(http: HttpResult, levels: list[Level], path: Path) -> None:
    """Bars: videos per second of diffusers and of the server. Line: perf_analyzer's concurrency levels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    bars = {
        "diffusers": 1 / median(r.diffusers_lone for r in http.rounds),
        "HTTP, one\nrequest": 1 / median(r.lone.wall for r in http.rounds),
        "diffusers, four\nin turn": CONCURRENT / median(r.diffusers_four for r in http.rounds),
        "HTTP, four\nat once": CONCURRENT / median(r.four for r in http.rounds),
    }
    colours = ["silver", "tab:green", "silver", "tab:green"]
    left.bar(list(bars), list(bars.values()), color=colours)
    left.set_ylabel("videos per second")
    left.set_title("Against diffusers, same weights")
    if levels:
        right.plot([level.concurrency for level in levels], [level.videos_per_second for level in levels], "o-")
        right.set_ylim(bottom=0)
        right.set_xlabel("jobs in flight")
        right.set_ylabel("videos per second")
        right.set_title("perf_analyzer over `generate`")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
