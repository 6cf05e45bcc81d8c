"""The official client library works unchanged."""

import openai
import pytest
from fastapi import FastAPI

from tests.frontend.conftest import Serve


def test_openais_sdk_lists_the_models(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        assert [model.id for model in client.models.list()] == ["toy-wan-t2v"]
        assert client.models.retrieve("toy-wan-t2v").owned_by == "tritonreel"
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve("sora")
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
