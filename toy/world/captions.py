"""Captions of scenes, for training and, apart from them, for evaluation.

Two kinds are kept for evaluation: "sentence", a sixth of all combinations of colour and phrases, which training never
makes though it has each of the phrases; and "wording", made of phrases that no training caption has.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

from toy.world.phrases import HELD_OUT, SHAPE_WORDS, TRAINING, Phrases, Phrasings
from toy.world.scene import COLOURS, Scene

HeldOut = Literal["sentence", "wording"]

_ONE_SENTENCE_IN = 6
_TRIES = 64
_FRAGMENT_SHARE = 0.06
_CAPITAL_SHARE = 0.3
_FULL_STOP_SHARE = 0.25


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """What a video of `scene` shows, in words for training.

    Without a background it is black, and without a motion the shape stands still; except in the few captions that leave
    out the colour or the shape too, such as "red" or "a circle moving right".
    """
    return _for_training(scene, rng, moving=True)


def still_caption(scene: Scene, rng: np.random.Generator) -> str:
    """What an image of `scene` shows, in words for training; as `caption` but for the motion."""
    return _for_training(scene, rng, moving=False)


def held_out_caption(scene: Scene, rng: np.random.Generator, kind: HeldOut) -> str:
    """What a video of `scene` shows, as `caption` never says it."""
    return _for_evaluation(scene, rng, kind, moving=True)


def held_out_still_caption(scene: Scene, rng: np.random.Generator, kind: HeldOut) -> str:
    """What an image of `scene` shows, as `still_caption` never says it."""
    return _for_evaluation(scene, rng, kind, moving=False)


def _for_training(scene: Scene, rng: np.random.Generator, moving: bool) -> str:
    while True:
        parts = _choose(scene, rng, TRAINING, moving)
        if not _is_reserved(parts):
            break
    if rng.random() < _FRAGMENT_SHARE:
        parts = _fragment(parts, rng)
    return _write(parts, rng, TRAINING)


def colourless_caption(scene: Scene, rng: np.random.Generator, moving: bool) -> str:
    """What a video, or an image, of `scene` shows, except for the shape's colour."""
    return _write(_choose(scene, rng, TRAINING, moving) | {"colour": ""}, rng, TRAINING)


def _for_evaluation(scene: Scene, rng: np.random.Generator, kind: HeldOut, moving: bool) -> str:
    if kind == "sentence":
        for _ in range(_TRIES):
            parts = _choose(scene, rng, TRAINING, moving)
            if _is_reserved(parts):
                return _write(parts, rng, TRAINING)
    # few sentences say what an image shows, so that none of some may be reserved
    return _write(_choose(scene, rng, HELD_OUT, moving), rng, HELD_OUT)


def _choose(scene: Scene, rng: np.random.Generator, phrases: Phrases, moving: bool) -> dict[str, str]:
    return {
        "opening": _pick(rng, phrases.openings if moving else phrases.still_openings),
        "colour": scene.colour,
        "shape": _pick(rng, SHAPE_WORDS[scene.shape]),
        "motion": _pick(rng, phrases.motions[scene.motion]) if moving else "",
        "background": _pick(rng, phrases.backgrounds[scene.background]),
    }


def _fragment(parts: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Without the colour or the shape, and half the time without the motion and without the background.

    With both colour and shape it could read like the complete caption, perhaps a reserved one, of another scene.
    """
    dropped = [name for name in ("motion", "background") if rng.random() < 0.5]
    dropped += ["colour"] if rng.random() < 0.5 else ["opening", "shape"]
    return parts | dict.fromkeys(dropped, "")


def _is_reserved(parts: dict[str, str]) -> bool:
    """Whether these words are kept for evaluation, whatever the opening and the order."""
    words = " ".join(parts[name] for name in ("colour", "shape", "motion", "background"))
    return zlib.crc32(words.encode()) % _ONE_SENTENCE_IN == 0


def _write(parts: dict[str, str], rng: np.random.Generator, phrases: Phrases) -> str:
    text = _pick(rng, phrases.orders).format_map(parts)
    text = re.sub(r"[ ,]*, *", ", ", re.sub(r" +", " ", text)).strip(" ,")
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    if rng.random() < _CAPITAL_SHARE:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < _FULL_STOP_SHARE else text


def _pick(rng: np.random.Generator, phrasings: Phrasings) -> str:
    return phrasings[rng.integers(len(phrasings))]


def _words() -> Iterator[str]:
    yield "an"
    yield from COLOURS
    for shapes in SHAPE_WORDS.values():
        yield from shapes
    for phrases in (TRAINING, HELD_OUT):
        yield from phrases.openings + phrases.still_openings
        for alternatives in (*phrases.motions.values(), *phrases.backgrounds.values()):
            yield from alternatives


VOCABULARY: tuple[str, ...] = tuple(sorted({word for phrase in _words() for word in phrase.split()}))
"""every word of the captions, in lower case; the first of a caption may be capitalised, and "," and "." occur"""
