"""What an evaluation found: a table to read, and a folder with figures, sheets and an animation."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from toy.world.quality import Judged, Options, Run
from toy.world.questions import attributes_of
from toy.world.scores import ATTRIBUTES, Score, Scores, is_right
from toy.world.sheet import Exhibit, animation, contact_sheet, save_animation

_ON_SHEET = 24
_ANIMATED = 8
_KINDS = {"sentence": "new sentences", "wording": "new wordings"}


def score_table(runs: Sequence[Run]) -> Table:
    """Scores of held-out captions in per cent, each with its 95 % interval."""
    table = Table(title="Held-out captions, % right [95 % interval]", title_justify="left")
    for name in ("model", "asked", "n", *ATTRIBUTES, "all at once"):
        table.add_column(name, justify="left" if name in ("model", "asked") else "right")
    for run in runs:
        if run.answers[0].question.kind == "open":
            continue
        for kind, title in ((None, run.setting or run.task), *(() if run.setting else _KINDS.items())):
            if not any(kind in (None, answer.question.kind) for answer in run.answers):
                continue
            scores = run.scores(kind)
            cells = [_cell(scores.attributes[name]) if name in scores.attributes else "" for name in ATTRIBUTES]
            first = run.model if kind is None else ""
            table.add_row(first, title, str(scores.together.total), *cells, _cell(scores.together))
    return table


def other_table(runs: Sequence[Run]) -> Table:
    """What is measured beside the scores."""
    table = Table(title="Beside them", title_justify="left")
    for name in (
        "model",
        "asked",
        "s per video alone",
        "videos/s",
        "first frame, dB",
        "red shapes, %",
        "red pixels, %",
    ):
        table.add_column(name, justify="left" if name in ("model", "asked") else "right")
    for run in runs:
        likeness = run.first_frame_psnr()
        red_shapes, red_pixels = run.red()
        is_open = run.answers[0].question.kind == "open"
        table.add_row(
            run.model,
            f"{run.task}, {run.setting}" if run.setting else run.task,
            f"{run.seconds:.2f}",
            "" if run.videos_per_second is None else f"{run.videos_per_second:.1f}",
            "" if likeness is None else f"{likeness:.1f}",
            _cell(red_shapes) if is_open else "",
            f"{100 * red_pixels:.1f}" if is_open else "",
        )
    return table


def write(runs: Sequence[Run], options: Options, fps: float, to: Path) -> None:
    """Writes report.json, of each run a sheet of its first answers and one of its first misses, and an animation.

    Args:
        fps: frames per second of the animation.
        to: the folder; made if absent.
    """
    to.mkdir(parents=True, exist_ok=True)
    (to / "report.json").write_text(
        json.dumps({"options": vars(options), "runs": [_json(run) for run in runs]}, indent=2) + "\n"
    )
    for run in runs:
        name = "-".join("".join(c if c.isalnum() else " " for c in f"{run.task} {run.setting}").split())
        misses = [answer for answer in run.answers if _fault(run, answer)]
        for suffix, answers in (("", run.answers), ("-misses", misses)):
            if answers:
                exhibits = [_exhibit(run, answer) for answer in answers[:_ON_SHEET]]
                columns = 2 if len(answers[0].frames) > 1 else 6
                contact_sheet(exhibits, columns).save(to / f"{name}{suffix}.png")
        if not run.setting and len(run.answers[0].frames) > 1:
            exhibits = [_exhibit(run, answer) for answer in run.answers[:_ANIMATED]]
            save_animation(animation(exhibits, columns=4), to / f"{name}.webp", fps)


def _exhibit(run: Run, answer: Judged) -> Exhibit:
    return Exhibit(answer.frames, answer.question.prompt, _fault(run, answer))


def _fault(run: Run, answer: Judged) -> str:
    """What was seen instead of what was asked for; nothing where all is right."""
    if answer.question.kind == "open":
        return ""
    scene, seen = answer.question.scene, answer.seen
    wrong = [name for name in attributes_of(run.task) if not is_right(scene, seen, name)]
    return ", ".join(f"{getattr(seen, name) or f'no {name}'}, not {getattr(scene, name)}" for name in wrong)


def _cell(score: Score) -> str:
    low, high = score.interval
    return f"{100 * score.share:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def _json(run: Run) -> dict[str, Any]:
    red_shapes, red_pixels = run.red()
    return {
        "model": run.model,
        "task": run.task,
        "setting": run.setting,
        "scores": dict(_scores_json(run)) if run.answers[0].question.kind != "open" else None,
        "seconds_alone": run.seconds,
        "videos_per_second": run.videos_per_second,
        "first_frame_psnr_db": run.first_frame_psnr(),
        "red_shapes": _score_json(red_shapes),
        "red_pixels": red_pixels,
        "answers": [
            {
                "prompt": answer.question.prompt,
                "seed": answer.question.seed,
                "held_out": answer.question.kind,
                "asked": {name: getattr(answer.question.scene, name) for name in attributes_of(run.task)},
                "seen": vars(answer.seen),
            }
            for answer in run.answers
        ],
    }


def _scores_json(run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in (None, *_KINDS):
        if any(kind in (None, answer.question.kind) for answer in run.answers):
            scores: Scores = run.scores(kind)
            named = [*scores.attributes.items(), ("all at once", scores.together)]
            yield kind or "all", {name: _score_json(value) for name, value in named}


def _score_json(score: Score) -> dict[str, float]:
    low, high = score.interval
    return {"right": score.right, "total": score.total, "share": score.share, "low": low, "high": high}
