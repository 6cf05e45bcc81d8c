from pathlib import Path

from frontend.http.access import decide_access
from launcher.settings import Settings
from launcher.what_next import what_next
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

SETTINGS = Settings(run_dir=Path("run/8000"))
URL = "http://127.0.0.1:8000"


def test_there_is_a_line_to_try_for_each_task_that_is_served() -> None:
    text = what_next(SETTINGS, URL, [model_card(), image_to_video_card(), text_to_image_card()])
    for route in ("/v1/videos/generations", "/v1/videos -F", "/v1/images/generations", "/docs"):
        assert URL + route in text


def test_the_page_comes_first() -> None:
    assert what_next(SETTINGS, URL, [model_card()]).startswith(f"Open {URL} in a browser, or:\n")
    assert "in a browser" not in what_next(SETTINGS, None, [model_card()])


def test_and_none_for_a_task_that_is_not() -> None:
    text = what_next(SETTINGS, URL, [text_to_image_card()])
    assert "/v1/images/generations" in text
    assert "/v1/videos" not in text


def test_without_the_frontend_only_triton_is_shown() -> None:
    text = what_next(SETTINGS, None, [model_card()])
    assert "curl" not in text
    assert "gRPC 8001" in text


def test_where_a_key_is_asked_for_every_line_to_try_sends_it(tmp_path: Path) -> None:
    cards = [model_card(), image_to_video_card(), text_to_image_card()]
    header = '-H "Authorization: Bearer $TRITONREEL_API_KEY"'
    open_to_all = decide_access("127.0.0.1", tmp_path / "keys.json", None, no_auth=False)
    assert header not in what_next(SETTINGS, URL, cards, open_to_all)
    with_key = decide_access("127.0.0.1", tmp_path / "keys.json", "a-key-for-a-container", no_auth=False)
    text = what_next(SETTINGS, URL, cards, with_key)
    assert text.count(header) == text.count("curl") == 3
    assert "a-key-for-a-container" not in text
