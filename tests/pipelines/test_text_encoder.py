import pytest
from diffusers.pipelines.wan.pipeline_wan import prompt_clean as reference

from pipelines.text_encoder import prompt_clean


@pytest.mark.parametrize(
    "prompt",
    [
        "  a red\tcircle \n\n moves\u00a0right\u2003now \x1c",
        "caf\u00c3\u00a9 and na\u00c3\u00afve",  # UTF-8 read as Latin-1
        "&lt;b&gt;bold&lt;/b&gt; &amp;amp;lt; &nbsp; tea &amp; milk",
        "\u201ccurly\u201d \ufb01sh \u0000 \u200b",
        "",
    ],
)
def test_prompts_are_cleaned_as_diffusers_does(prompt: str) -> None:
    assert prompt_clean(prompt) == reference(prompt)
