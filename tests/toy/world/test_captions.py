"""Captions: they name what they show, and evaluation has none that training has."""

import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest

from toy.world.captions import (
    VOCABULARY,
    caption,
    colourless_caption,
    held_out_caption,
    held_out_still_caption,
    still_caption,
)
from toy.world.phrases import HELD_OUT, SHAPE_WORDS, TRAINING
from toy.world.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Scene, place_scene, sample_scene

WRITERS: dict[str, Callable[[Scene, np.random.Generator], str]] = {
    "training": caption,
    "training, still": still_caption,
    "sentence": lambda scene, rng: held_out_caption(scene, rng, "sentence"),
    "wording": lambda scene, rng: held_out_caption(scene, rng, "wording"),
    "sentence, still": lambda scene, rng: held_out_still_caption(scene, rng, "sentence"),
    "wording, still": lambda scene, rng: held_out_still_caption(scene, rng, "wording"),
}


def bare(text: str) -> str:
    return text.lower().rstrip(".")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def names_all(text: str, scene: Scene, moving: bool) -> bool:
    """Whether it has a word for each class, where the background may go without if it is black."""
    said = bare(text).replace(",", "")
    motions = (*TRAINING.motions[scene.motion], *HELD_OUT.motions[scene.motion])
    backgrounds = (*TRAINING.backgrounds[scene.background], *HELD_OUT.backgrounds[scene.background])
    return (
        scene.colour in said
        and any(word in said for word in SHAPE_WORDS[scene.shape])
        and (not moving or any(phrase in said for phrase in motions))
        and any(phrase in said for phrase in backgrounds)
    )


@pytest.mark.parametrize("kind", WRITERS)
def test_captions_name_what_they_show_in_words_of_the_vocabulary(kind: str) -> None:
    rng = np.random.default_rng(0)
    complete = 0
    for _ in range(1000):
        scene = sample_scene(rng)
        text = WRITERS[kind](scene, rng)
        assert set(words(text)) <= set(VOCABULARY), text
        assert re.fullmatch(r"[A-Za-z]+(,? [a-z]+)*\.?", text), text
        complete += names_all(text, scene, "still" not in kind)

    assert complete == 1000 if "training" not in kind else 900 < complete < 980  # the rest leaves something out


def test_images_have_no_words_of_motion() -> None:
    rng = np.random.default_rng(1)
    motion_words = {
        word for alternatives in TRAINING.motions.values() for text in alternatives for word in text.split()
    }
    said = {word for _ in range(2000) for word in words(still_caption(sample_scene(rng), rng))}

    assert not (motion_words - {"a", "the", "at", "in", "to"}) & said


@pytest.mark.parametrize("kind", ["sentence", "wording", "sentence, still", "wording, still"])
def test_training_never_says_what_evaluation_says(kind: str) -> None:
    rng = np.random.default_rng(2)
    training = WRITERS["training, still" if "still" in kind else "training"]
    asked = {bare(WRITERS[kind](sample_scene(rng), rng)) for _ in range(2000)}
    seen = {bare(training(sample_scene(rng), rng)) for _ in range(20_000)}

    assert len(asked) > 500
    assert not asked & seen


def test_reserved_sentences_are_reserved_in_every_order_and_opening() -> None:
    rng = np.random.default_rng(3)
    openings = set(words(" ".join(TRAINING.openings)))

    def said_by(kind: str, count: int) -> set[frozenset[str]]:
        """Sentences as sets of words, which tell all of these motions apart."""
        scenes = (sample_scene(rng, motions=("still", "growing", "shrinking")) for _ in range(count))
        return {frozenset(words(WRITERS[kind](scene, rng))) - openings for scene in scenes}

    asked = said_by("sentence", 300)
    assert len(asked) > 150
    assert not asked & said_by("training", 20_000)


def test_held_out_wordings_are_in_no_training_phrase_but_their_words_are() -> None:
    training_words = set(words(" ".join(itertools.chain(TRAINING.openings, TRAINING.still_openings))))
    for table in (TRAINING.motions, TRAINING.backgrounds):
        training_words |= set(words(" ".join(itertools.chain.from_iterable(table.values()))))
    pairs = [(HELD_OUT.motions[m], TRAINING.motions[m]) for m in MOTIONS]
    pairs += [(HELD_OUT.backgrounds[b], TRAINING.backgrounds[b]) for b in BACKGROUNDS]
    pairs += [(HELD_OUT.still_openings, TRAINING.still_openings)]

    for kept, trained in pairs:
        assert not set(kept) & set(trained)
        assert set(words(" ".join(kept))) <= training_words


def test_every_combination_of_classes_can_be_trained_and_asked_for() -> None:
    rng = np.random.default_rng(4)
    for shape, colour, motion, background in itertools.product(SHAPES, COLOURS, MOTIONS, BACKGROUNDS):
        scene = place_scene(rng, shape, colour, motion, background)
        for writer in WRITERS.values():
            assert writer(scene, rng)


@pytest.mark.parametrize("moving", [True, False])
def test_the_colour_can_be_left_open(moving: bool) -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        scene = sample_scene(rng)
        text = colourless_caption(scene, rng, moving)
        assert not set(COLOURS) & set(words(text))
        assert names_all(f"{scene.colour} {text}", scene, moving)


def test_words_are_many_and_an_stands_before_vowels() -> None:
    rng = np.random.default_rng(5)
    scene = place_scene(rng, "circle", "orange", "right", "black")
    texts = [caption(scene, rng) for _ in range(500)]

    assert len(set(texts)) > 150
    assert any("an orange" in bare(text) for text in texts)
    assert not any(re.search(r"\ba orange", bare(text)) for text in texts)


def test_the_same_seed_writes_the_same_caption() -> None:
    scene = sample_scene(np.random.default_rng(6))

    assert caption(scene, np.random.default_rng(7)) == caption(scene, np.random.default_rng(7))
