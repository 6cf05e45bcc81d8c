"""The evaluation: what it asks, and what it says about a server that does everything right, or one thing wrong."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.toy.world.drawing_server import MODELS, DrawingServer
from toy.world.__main__ import app
from toy.world.quality import Options, Run, evaluate, planned, psnr
from toy.world.questions import colourless_questions, held_out_questions
from toy.world.scene import COLOURS
from toy.world.scores import Score
from toy.world.server import Server, ServerError


@pytest.fixture
def drawing() -> Iterator[DrawingServer]:
    with DrawingServer({q.seed: q.scene for q in held_out_questions("image-to-video", 30, 0)}) as server:
        yield server


def runs_of(drawing: DrawingServer, model: str, options: Options) -> list[Run]:
    answers = 0

    def count() -> None:
        nonlocal answers
        answers += 1

    with Server(drawing.url) as server:
        (served,) = [entry for entry in server.models() if entry.id == model]
        runs = list(evaluate(server, served, options, count))
    assert answers == planned(served, options) == sum(len(run.answers) for run in runs)
    return runs


@pytest.mark.parametrize("model", MODELS)
def test_a_server_that_does_all_that_captions_say_scores_all(drawing: DrawingServer, model: str) -> None:
    runs = runs_of(drawing, model, Options(captions=30))

    assert [run.task for run in runs] == list(MODELS[model])
    for run in runs:
        assert run.scores().together == Score(30, 30)
        assert run.scores("sentence").together == run.scores("wording").together == Score(15, 15)
        assert ("motion" in run.scores().attributes) == (run.task != "text-to-image")
        assert run.seconds > 0
        assert run.videos_per_second
        assert run.videos_per_second > 0
        likeness = run.first_frame_psnr()
        assert (likeness is not None) == (run.task == "image-to-video")
        assert likeness is None or likeness > 28  # what H.264 with halved chroma leaves


def test_comparisons_show_what_guidance_and_negative_prompts_do(drawing: DrawingServer) -> None:
    plain, unguided, uncoloured, not_red = runs_of(drawing, "t2v", Options(captions=40, compare=True))

    assert plain.scores().attributes["shape"] == Score(40, 40)
    assert unguided.scores().attributes["shape"].share < 0.5
    assert unguided.scores().attributes["motion"] == Score(40, 40)
    assert uncoloured.red()[0].right > 0
    assert uncoloured.red()[1] > 0.01
    assert not_red.red() == (Score(0, 40), 0)


def test_videos_from_an_image_are_not_compared_by_colour(drawing: DrawingServer) -> None:
    runs = runs_of(drawing, "i2v", Options(captions=3, compare=True))

    assert [run.setting for run in runs] == ["", "guidance 1"]


@pytest.mark.parametrize(
    ("model", "path", "guidance"),
    [("t2v", "/v1/videos/generations", "guidance_scale"), ("t2i", "/v1/images/generations", "true_cfg_scale")],
)
def test_options_are_fields_of_every_request(drawing: DrawingServer, model: str, path: str, guidance: str) -> None:
    options = Options(captions=3, seed=5, size=(96, 64), num_frames=5, guidance=3.0, negative_prompt="grey")
    (run,) = runs_of(drawing, model, options)

    assert {answer.frames.shape[1:] for answer in run.answers} == {(64, 96, 3)}
    for seen_path, fields in drawing.requests:
        assert seen_path == path
        expected = {"model": model, guidance: 3.0, "negative_prompt": "grey", "size": "96x64"}
        assert expected.items() <= fields.items()
        assert fields.get("num_frames") == (5 if model == "t2v" else None)
    assert {fields["seed"] for _, fields in drawing.requests} == {5, 6, 7}


def test_what_is_left_out_is_the_models_own(drawing: DrawingServer) -> None:
    runs_of(drawing, "t2v", Options(captions=1))

    assert drawing.requests[0][1].keys() == {"model", "prompt", "seed"}


def test_questions_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    questions = held_out_questions("text-to-video", 20, 0)

    assert questions == held_out_questions("text-to-video", 20, 0)
    assert {question.prompt for question in questions}.isdisjoint(
        question.prompt for question in held_out_questions("text-to-video", 20, 1)
    )
    assert [question.kind for question in questions[:2]] == ["sentence", "wording"]
    assert {question.scene.motion for question in held_out_questions("text-to-image", 20, 0)} == {"still"}
    assert not any(colour in q.prompt for q in colourless_questions("text-to-video", 50, 0) for colour in COLOURS)


def test_psnr_is_in_decibels_of_eight_bits() -> None:
    black = np.zeros((4, 4, 3), np.uint8)

    assert psnr(black, black) == float("inf")
    assert psnr(black, np.full_like(black, 255)) == 0
    assert psnr(black, np.full_like(black, 26)) == pytest.approx(19.83, abs=0.01)


def test_the_command_prints_tables_and_writes_a_folder(drawing: DrawingServer, tmp_path: Path) -> None:
    options = ["--url", drawing.url, "--model", "ti2v", "--captions", "8", "--compare", "--to", str(tmp_path)]
    result = CliRunner().invoke(app, ["quality", *options])

    assert result.exit_code == 0, result.output
    for expected in ("ti2v", "new wordings", "guidance 1", "100.0 [68, 100]", 'not "red"'):
        assert expected in result.stdout
    folder = tmp_path / "ti2v"
    assert {path.name for path in folder.iterdir()} >= {
        *("report.json", "text-to-video.png", "text-to-video.webp", "image-to-video.png", "image-to-video.webp"),
        *("text-to-video-guidance-1.png", "text-to-video-guidance-1-misses.png"),
    }
    assert not (folder / "text-to-video-misses.png").exists()
    first = json.loads((folder / "report.json").read_text())["runs"][0]
    assert first["scores"]["all"]["all at once"]["right"] == 8
    assert first["scores"]["wording"]["colour"]["total"] == 4
    assert len(first["answers"]) == 8
    assert first["answers"][0].keys() == {"prompt", "seed", "held_out", "asked", "seen"}


def test_refusals_and_absence_are_said_in_one_sentence(drawing: DrawingServer, tmp_path: Path) -> None:
    def failure(*options: str) -> str:
        result = CliRunner().invoke(app, ["quality", "--captions", "2", "--to", str(tmp_path), *options])
        assert result.exit_code == 1
        return result.output

    assert "other is not served; these are: t2v" in failure("--url", drawing.url, "--model", "other")
    assert "num_frames: at most 161" in failure("--url", drawing.url, "--model", "t2v", "--num-frames", "165")
    assert "Is the server running?" in failure("--url", "http://127.0.0.1:9")


def test_a_list_of_something_else_is_no_list_of_models(drawing: DrawingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "answer", lambda path, fields: (200, {"data": [{"id": "gpt"}]}))
    with Server(drawing.url) as server, pytest.raises(ServerError, match="not a list of models"):
        server.models()


def test_sheet_draws_examples(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sheet", "--to", str(tmp_path / "sheet.png"), "--count", "4", "--size", "64x48"])

    assert result.exit_code == 0, result.output
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sheet", "--to", str(tmp_path / "sheet.png"), "--size", "64"])

    assert result.exit_code == 2
    assert "WIDTHxHEIGHT" in result.output
