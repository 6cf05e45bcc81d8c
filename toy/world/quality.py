"""Asks a model for what it was never trained to say, and judges the answers by their pixels."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toy.world.detect import Seen, detect
from toy.world.draw import draw
from toy.world.palette import COLOUR_RGB
from toy.world.questions import Question, Task, attributes_of, colourless_questions, held_out_questions
from toy.world.scores import Score, Scores, score
from toy.world.server import Fields, ServedModel, Server

_ALONE = 5
_RED_WITHIN = 0.25
NEGATIVE = "red"


@dataclass(frozen=True)
class Options:
    """How to ask.

    at_once: requests in flight.
    size: (width, height) in pixels, num_frames: instead of the model's own.
    guidance, negative_prompt: instead of the model's own.
    compare: also ask at guidance 1, and with a negative prompt.
    """

    captions: int = 200
    seed: int = 0
    at_once: int = 4
    size: tuple[int, int] | None = None
    num_frames: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    compare: bool = False


@dataclass(frozen=True)
class Judged:
    """One answer. first_frame_psnr: dB, against the image that it was to start from, where there was one."""

    question: Question
    frames: NDArray[np.uint8]
    seen: Seen
    first_frame_psnr: float | None


@dataclass(frozen=True)
class Run:
    """All answers to one set of questions.

    setting: how it differs from what the options say.
    seconds: of one request while nothing else was asked, the median of a few.
    videos_per_second: with several requests in flight; None where there were too few.
    """

    model: str
    task: Task
    setting: str
    answers: Sequence[Judged]
    seconds: float
    videos_per_second: float | None

    def scores(self, kind: str | None = None) -> Scores:
        """Of all answers, or those to questions of one kind."""
        chosen = [answer for answer in self.answers if kind in (None, answer.question.kind)]
        return score([(answer.question.scene, answer.seen) for answer in chosen], attributes_of(self.task))

    def red(self) -> tuple[Score, float]:
        """How many answers show a red shape, and the share of all pixels that is red."""
        shown = sum(answer.seen.colour == "red" for answer in self.answers)
        share = statistics.fmean(float(_red(answer.frames).mean()) for answer in self.answers)
        return Score(shown, len(self.answers)), share

    def first_frame_psnr(self) -> float | None:
        """Mean in dB; None without images."""
        values = [answer.first_frame_psnr for answer in self.answers if answer.first_frame_psnr is not None]
        return statistics.fmean(values) if values else None


def evaluate(
    server: Server, model: ServedModel, options: Options, on_answer: Callable[[], None] = lambda: None
) -> Iterator[Run]:
    """The runs of all tasks of a model: `planned(model, options)` questions, after each of which `on_answer` is called.

    Raises:
        ServerError: the server is away or refuses.
    """
    for task in model.toy_tasks():
        asked = held_out_questions(task, options.captions, options.seed)
        yield _run(server, model, task, "", asked, _fields(model, task, options), options, on_answer)
        if not options.compare:
            continue
        unguided = _fields(model, task, options, guidance=1.0)
        yield _run(server, model, task, "guidance 1", asked, unguided, options, on_answer)
        if task != "image-to-video":  # there the image says the colour
            open_ones = colourless_questions(task, options.captions, options.seed)
            for name, negative in (("no colour asked", ""), (f'no colour asked, not "{NEGATIVE}"', NEGATIVE)):
                fields = _fields(model, task, options, negative_prompt=negative)
                yield _run(server, model, task, name, open_ones, fields, options, on_answer)


def planned(model: ServedModel, options: Options) -> int:
    """How many questions `evaluate` asks."""
    runs = sum(1 if not options.compare else 2 if task == "image-to-video" else 4 for task in model.toy_tasks())
    return runs * options.captions


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two 8-bit images; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _fields(
    model: ServedModel,
    task: Task,
    options: Options,
    guidance: float | None = None,
    negative_prompt: str | None = None,
) -> Fields:
    """What all requests of a run have in common."""
    guidance = options.guidance if guidance is None else guidance
    fields: Fields = {
        "model": model.id,
        "true_cfg_scale" if task == "text-to-image" else "guidance_scale": guidance,
        "negative_prompt": options.negative_prompt if negative_prompt is None else negative_prompt,
        "size": "{}x{}".format(*options.size) if options.size else None,
        "num_frames": options.num_frames if task != "text-to-image" else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _run(
    server: Server,
    model: ServedModel,
    task: Task,
    setting: str,
    questions: Sequence[Question],
    fields: Fields,
    options: Options,
    on_answer: Callable[[], None],
) -> Run:
    width, height = options.size or (model.defaults.width, model.defaults.height)

    def ask(question: Question) -> tuple[Judged, float]:
        image = None
        if task == "image-to-video":
            image = (draw(question.scene, width, height, 1)[0] * 255).round().astype(np.uint8)
        answer = server.make(task, fields | {"prompt": question.prompt, "seed": question.seed}, image)
        likeness = None if image is None else psnr(answer.frames[0], image)
        on_answer()
        return Judged(question, answer.frames, detect(answer.frames), likeness), answer.seconds

    alone = [ask(question) for question in questions[:_ALONE]]
    started = time.monotonic()
    with ThreadPoolExecutor(options.at_once) as pool:
        rest = list(pool.map(ask, questions[_ALONE:]))
    elapsed = time.monotonic() - started
    return Run(
        model.id,
        task,
        setting,
        [judged for judged, _ in alone + rest],
        statistics.median(seconds for _, seconds in alone),
        len(rest) / elapsed if rest else None,
    )


def _red(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels are near the palette's red, [frames, height, width]."""
    red = np.array(COLOUR_RGB["red"], np.float32)
    near: NDArray[np.bool_] = np.linalg.norm(frames.astype(np.float32) / 255 - red, axis=-1) < _RED_WITHIN
    return near
