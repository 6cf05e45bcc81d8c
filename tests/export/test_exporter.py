"""A finished export: every graph right where Triton will load it, and a failed one that changes nothing."""

import dataclasses
import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import pytest

from export import umt5
from export.checkpoint import Checkpoint, open_checkpoint
from export.component import TOLERANCE
from export.defaults import OwnDefaults
from export.errors import ParityError, RepositoryError
from export.graph import Session
from export.options import Options, Precision, Target
from export.tiny import LayoutName, build
from export.tokenizer import fast_tokenizer
from export.wan_t2v import WAN_T2V
from protocol.model_card import Components, ModelCard
from protocol.repository import FORMAT, OWN_REPOSITORY, REPOSITORY_FILE, RepositoryStamp

from .conftest import CommandLineExport
from .one import embedding_graphs, export_one, of_embedding

PARTS = {part.component: part for part in WAN_T2V.parts}
FILES = {
    "text_encoder": ["model.onnx", "source.json"],
    "transformer": ["model.onnx", "source.json", "weights.safetensors"],
    "transformer_2": ["model.onnx", "source.json", "weights.safetensors"],
    "vae": [
        "bands.json",
        "bands_first.onnx",
        "bands_first.onnx.data",
        "bands_next.onnx",
        "bands_next.onnx.data",
        "colours.json",
        "middle_first.onnx",
        "middle_next.onnx",
        "middle_next.onnx.data",
        "source.json",
        "whole_first.onnx",
        "whole_first.onnx.data",
        "whole_next.onnx",
        "whole_next.onnx.data",
    ],
}
"""what the shared export made: the text encoder's weights are below the external-data threshold, the rest above"""


def sessions(version: Path) -> Mapping[str, Session]:
    return {path.name: Session(path) for path in version.glob("*.onnx")}


@pytest.mark.parametrize("component", PARTS)
def test_what_was_moved_into_the_repository_computes_what_diffusers_does(
    component: str, exported: CommandLineExport, tiny_checkpoint: Path
) -> None:
    part = PARTS[component]
    version = exported.repository / part.model / "1"
    assert sorted(path.name for path in version.iterdir()) == FILES[component]

    comparisons = list(part.compare(part.load(tiny_checkpoint / component, Precision.FLOAT32), sessions(version)))
    assert len(comparisons) >= 4
    assert max(comparison.max_difference for comparison in comparisons) < TOLERANCE / 5


@pytest.mark.parametrize("component", PARTS)
def test_inputs_and_outputs_are_those_of_the_triton_configuration(component: str, exported: CommandLineExport) -> None:
    model = exported.repository / PARTS[component].model
    configuration = (model / "config.pbtxt").read_text()
    for path in (model / "1").glob("*.onnx"):
        session = onnxruntime.InferenceSession(path)
        for value in (*session.get_inputs(), *session.get_outputs()):
            is_ours = value.name.startswith(("cache_", "rows_")) or value.name in ("bottom", "features")
            is_ours = is_ours or ".lora_" in value.name
            assert is_ours or f'name: "{value.name}"' in configuration


def test_the_decoders_hand_over_their_caches_in_order(exported: CommandLineExport) -> None:
    version = exported.repository / "wan_vae" / "1"
    first = onnxruntime.InferenceSession(version / "whole_first.onnx")
    later = onnxruntime.InferenceSession(version / "whole_next.onnx")
    names = [value.name for value in first.get_outputs()]
    count = len(names) - 1
    assert names == ["frames", *(f"cache_out_{i}" for i in range(count))]
    assert [value.name for value in later.get_inputs()] == ["latents", *(f"cache_in_{i}" for i in range(count))]
    assert [value.name for value in later.get_outputs()] == names


def test_card_tokenizer_and_scheduler_are_beside_generate(exported: CommandLineExport, tiny_checkpoint: Path) -> None:
    folder = exported.repository / "generate" / "1" / "wan_t2v"
    card = ModelCard.read(folder)
    assert card.id == "tiny-two-experts"
    assert card.components == Components(
        text_encoder="wan_text_encoder",
        transformer="wan_t2v_transformer",
        transformer_2="wan_t2v_transformer_2",
        vae="wan_vae",
    )
    assert (folder / "tokenizer.json").read_text() == fast_tokenizer(tiny_checkpoint / "tokenizer")
    copied = "scheduler/scheduler_config.json"
    assert (folder / copied).read_bytes() == (tiny_checkpoint / copied).read_bytes()


def test_a_new_repository_gets_the_configurations_and_generate_s_code(exported: CommandLineExport) -> None:
    for path in ("wan_vae/config.pbtxt", "generate/config.pbtxt", "generate/1/model.py"):
        assert (exported.repository / path).read_bytes() == (OWN_REPOSITORY / path).read_bytes()
    assert [path.name for path in exported.repository.parent.iterdir()] == [exported.repository.name]


def test_a_graph_that_computes_something_else_fails_with_the_figure(tiny_checkpoint: Path, tmp_path: Path) -> None:
    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)
    other = umt5.load(tmp_path / "other" / "text_encoder")
    family = of_embedding(tiny_checkpoint, graphs=lambda module, form: embedding_graphs(other))
    version = tmp_path / "repository" / "wan_text_encoder" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("the one that is served")

    figure = r"wan_text_encoder differs from UMT5EncoderModel by \d.* on 1 x 1 tokens; at most 0.0001 is allowed"
    with pytest.raises(ParityError, match=figure):
        export_one(tiny_checkpoint, family, tmp_path / "repository", Options())
    assert (version / "model.onnx").read_text() == "the one that is served"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "repository"]
    assert [path.name for path in (tmp_path / "repository").iterdir()] == ["wan_text_encoder"]


@pytest.mark.parametrize("target", list(Target))
def test_an_export_replaces_the_former_and_takes_the_id(target: Target, tiny_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    version = repository / "wan_text_encoder" / "1"
    version.mkdir(parents=True)
    (version / "first.onnx").write_text("of an earlier export")
    (repository / "wan_text_encoder" / "config.pbtxt").write_text("edited by hand")
    (repository / REPOSITORY_FILE).write_bytes(RepositoryStamp(format=FORMAT).to_bytes())
    heard: list[str] = []

    (result,) = export_one(
        tiny_checkpoint,
        of_embedding(tiny_checkpoint),
        repository,
        Options(target=target, model_id="named", external_above=0),
        on_stage=heard.append,
    )

    assert sorted(path.name for path in version.iterdir()) == ["model.onnx", "source.json", "weights.safetensors"]
    files = ("model.onnx", "weights.safetensors")
    assert result.source.files == {name: (version / name).stat().st_size for name in files}
    assert result.source.max_difference <= TOLERANCE
    assert (repository / "wan_text_encoder" / "config.pbtxt").read_text() == "edited by hand"
    assert ModelCard.read(repository / "generate" / "1" / "wan_t2v").id == "named"
    assert heard[:2] == [f"reading the weights of {tiny_checkpoint.name}", "text_encoder: loading"]


def changed_at(repository: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in repository.glob("wan_*/1/*")}


def test_what_is_there_already_is_not_exported_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    family, repository = of_embedding(tiny_checkpoint), tmp_path / "repository"
    (made,) = export_one(tiny_checkpoint, family, repository, Options(model_id="one"))
    before = changed_at(repository)

    (reused,) = export_one(tiny_checkpoint, family, repository, Options(model_id="two"))
    assert (made.is_reused, reused.is_reused) == (False, True)
    assert (reused.source, reused.graphs) == (made.source, ["model.onnx"])
    assert changed_at(repository) == before
    assert ModelCard.read(repository / "generate" / "1" / "wan_t2v").id == "two"

    (repository / "wan_text_encoder" / "1" / "model.onnx").write_text("damaged")
    (again,) = export_one(tiny_checkpoint, family, repository, Options())
    assert not again.is_reused
    (of_other_kind,) = export_one(tiny_checkpoint, family, repository, Options(target=Target.ONNX))
    assert not of_other_kind.is_reused


def test_two_families_share_a_component_and_neither_can_replace_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    family, repository = of_embedding(tiny_checkpoint), tmp_path / "repository"
    own = OwnDefaults.model_validate({"id": "x"})
    card = ModelCard.model_validate(family.card(open_checkpoint(tiny_checkpoint, family.layout), own))

    def card_of_other_family(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
        return card.model_copy(update={"id": own.id, "family": "wan_i2v"})

    other_family = dataclasses.replace(family, name="wan_i2v", card=card_of_other_family)
    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)

    export_one(tmp_path / "other", family, repository, Options(model_id="first"))
    export_one(tiny_checkpoint, family, repository, Options(model_id="first"))  # nobody else needs the former
    (shared,) = export_one(tiny_checkpoint, other_family, repository, Options(model_id="second"))
    assert shared.is_reused

    before = changed_at(repository)
    refusal = r"wan_text_encoder of first is not the one that second runs on in .*; export first into another.* --to"
    with pytest.raises(RepositoryError, match=refusal):
        export_one(tmp_path / "other", family, repository, Options(model_id="first"))
    assert changed_at(repository) == before


def test_a_model_without_a_triton_configuration_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    family = of_embedding(tiny_checkpoint, model="clip_text_encoder")
    with pytest.raises(RepositoryError, match=r"there is no clip_text_encoder/config\.pbtxt"):
        export_one(tiny_checkpoint, family, tmp_path / "repository", Options())
    assert list(tmp_path.iterdir()) == []


def test_a_nan_is_no_match(tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = umt5.load(tiny_checkpoint / "text_encoder")
    next(broken.parameters()).fill_(float("nan"))
    family = of_embedding(tiny_checkpoint, graphs=lambda module, form: embedding_graphs(broken))
    with pytest.raises(ParityError, match="differs from UMT5EncoderModel by nan"):
        export_one(tiny_checkpoint, family, tmp_path / "repository", Options())


def test_a_repository_says_who_wrote_it_and_follows_the_installed_release(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    family, repository = of_embedding(tiny_checkpoint), tmp_path / "repository"
    export_one(tiny_checkpoint, family, repository, Options())
    stamp = RepositoryStamp.read(repository)
    assert (stamp.format, stamp.release) == (FORMAT, version("tritonreel"))

    configuration, generate = (repository / f"{model}/config.pbtxt" for model in ("wan_text_encoder", "generate"))
    configuration.write_text("of another release")
    generate.write_text("edited by hand")
    digest = hashlib.sha256(configuration.read_bytes()).hexdigest()
    companions = stamp.companions | {"wan_text_encoder/config.pbtxt": digest}
    (repository / REPOSITORY_FILE).write_bytes(stamp.model_copy(update={"companions": companions}).to_bytes())

    export_one(tiny_checkpoint, family, repository, Options())
    assert configuration.read_bytes() == (OWN_REPOSITORY / "wan_text_encoder/config.pbtxt").read_bytes()
    assert generate.read_text() == "edited by hand"
    assert RepositoryStamp.read(repository) == stamp


def test_an_export_into_a_repository_of_another_format_leaves_nothing_that_this_release_cannot_serve(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    family, repository = of_embedding(tiny_checkpoint), tmp_path / "repository"
    folder = repository / "generate" / "1"
    for other in ("wan_i2v", "wan_t2v"):
        (folder / other).mkdir(parents=True)
        (folder / other / "card.json").write_text("{}")
    for file in ("generate/config.pbtxt", "generate/1/model.py", "generate/1/job.py"):
        (repository / file).write_text("of an older release, or edited by hand")

    export_one(tiny_checkpoint, family, repository, Options())

    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["wan_t2v"]
    assert ModelCard.read(folder / "wan_t2v").family == "wan_t2v"
    assert sorted(path.name for path in folder.glob("*.py")) == ["model.py"]
    for companion in ("generate/config.pbtxt", "generate/1/model.py"):
        assert (repository / companion).read_bytes() == (OWN_REPOSITORY / companion).read_bytes()
        assert (repository / f"{companion}.old").read_text() == "of an older release, or edited by hand"
    assert RepositoryStamp.read(repository).is_current
