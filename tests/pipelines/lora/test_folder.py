"""Names and paths become adapters inside the folder, and nothing outside it."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
import torch

from pipelines.lora.folder import LoraFolder
from protocol.errors import InvalidRequest
from tests.adapters import save
from tests.conftest import ROOT

TENSORS = {"x.lora_A.weight": torch.ones(2, 5), "x.lora_B.weight": torch.ones(3, 2)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Adapters of each kind, and one beside the folder."""
    root = tmp_path / "loras"
    save(root / "ink.safetensors", TENSORS)
    save(root / "styles" / "foil.safetensors", TENSORS)
    save(root / "diffusers" / "pytorch_lora_weights.safetensors", TENSORS)
    save(root / "peft" / "adapter_model.safetensors", {f"base_model.model.{key}": t for key, t in TENSORS.items()})
    (root / "peft" / "adapter_config.json").write_text('{"r": 2}')
    (root / "notes.txt").write_text("not an adapter")
    save(tmp_path / "secret.safetensors", TENSORS)
    return root


def test_a_name_is_a_file_s_or_a_folder_s(root: Path) -> None:
    folder = LoraFolder(root)
    found = {name: folder.relative(folder.by_name(name)) for name in folder.names()}
    assert found == {
        "diffusers": "diffusers/pytorch_lora_weights.safetensors",
        "ink": "ink.safetensors",
        "peft": "peft/adapter_model.safetensors",
    }


@pytest.mark.parametrize(
    "path", ["ink.safetensors", "styles/foil.safetensors", "./styles//foil.safetensors", "styles/foil", "ink", "peft"]
)
def test_a_path_lies_in_the_folder(path: str, root: Path) -> None:
    assert LoraFolder(root).by_path(path).rank == 2
    assert LoraFolder(root).by_name_or_path(path).rank == 2


@pytest.mark.parametrize(
    "words",
    [
        "nobody",
        "",
        ".",
        "..",
        "/",
        "../secret",
        "../secret.safetensors",
        "styles/../../secret.safetensors",
        "styles/../ink.safetensors",
        "~/ink.safetensors",
        "notes.txt",
        "notes",
        "styles",
        "ink\0.safetensors",
        "ink.safetensors\0",
        "x" * 300,
        "linked",
        "linked.safetensors",
        "out",
        "out/secret.safetensors",
        "loop.safetensors",
        "absent.safetensors",
        "pipe.safetensors",
        "\ud800",
    ],
)
def test_nothing_else_is_found(words: str, root: Path) -> None:
    (root / "linked.safetensors").symlink_to(root.parent / "secret.safetensors")
    (root / "out").symlink_to(root.parent)
    (root / "loop.safetensors").symlink_to("loop.safetensors")
    (root / "absent.safetensors").symlink_to("nowhere.safetensors")
    os.mkfifo(root / "pipe.safetensors")
    folder = LoraFolder(root)
    for find in (folder.by_name, folder.by_path, folder.by_name_or_path):
        with pytest.raises(InvalidRequest, match=r"no adapter .*; there are: diffusers, ink, peft") as refused:
            find(words)
        assert refused.value.field == "lora"
        assert str(root.parent) not in refused.value.message


def test_an_absolute_path_is_refused_even_into_the_folder(root: Path) -> None:
    with pytest.raises(InvalidRequest, match="no adapter"):
        LoraFolder(root).by_path(str(root.parent / "secret.safetensors"))
    with pytest.raises(InvalidRequest, match="no adapter"):
        LoraFolder(root).by_path(str(root / "ink.safetensors"))


def test_links_within_the_folder_are_followed(root: Path) -> None:
    (root / "alias.safetensors").symlink_to("ink.safetensors")
    assert LoraFolder(root).by_name("alias").rank == 2


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert LoraFolder(root.parent / "link").by_name("ink").rank == 2


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    for i in range(25):
        save(tmp_path / f"{i:02}.safetensors", TENSORS)
    with pytest.raises(InvalidRequest, match=r"18, 19 and 5 more$"):
        LoraFolder(tmp_path).by_name("nobody")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (None, "started without a folder of adapters"),
        ("absent", "folder of adapters does not exist"),
        (".", "is empty"),
    ],
)
def test_without_adapters_it_says_so(folder: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=message):
        LoraFolder(tmp_path / folder if folder else None).by_name("ink")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_are_what_people_call_them_whatever_the_file_system_s_encoding(encoding: str, tmp_path: Path) -> None:
    """Triton's processes have ASCII for one."""
    root = tmp_path / "мои loras"
    save(root / "国风水墨.safetensors", TENSORS)
    save(root / "full\u3000width space, and 👩‍🎨.safetensors", TENSORS)
    save(root / "Pinselstärke" / "pytorch_lora_weights.safetensors", TENSORS)
    save(root / "größer" / "ölfarbe 2.safetensors", TENSORS)
    script = """
import json, os, sys
from pathlib import Path
from pipelines.lora.folder import LoraFolder

assert sys.getfilesystemencoding() == sys.argv[1]
folder = LoraFolder(Path(os.environ["ROOT"]))
names = folder.names()
adapters = [*map(folder.by_name, names), folder.by_path("größer/ölfarbe 2.safetensors"), folder.by_path("Pinselstärke")]
print(json.dumps({"names": names, "files": [folder.relative(one) for one in adapters]}))
"""
    as_ascii = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = {
        "ROOT": str(root),
        "PYTHONPATH": str(ROOT),
        **(as_ascii if encoding == "ascii" else {"PYTHONUTF8": "1"}),
    }
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), encoding]
    said = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, cwd=ROOT).stdout)
    names = ["Pinselstärke", "full\u3000width space, and 👩‍🎨", "国风水墨"]
    assert said["names"] == names
    assert said["files"] == [
        "Pinselstärke/pytorch_lora_weights.safetensors",
        f"{names[1]}.safetensors",
        "国风水墨.safetensors",
        "größer/ölfarbe 2.safetensors",
        "Pinselstärke/pytorch_lora_weights.safetensors",
    ]


@pytest.mark.parametrize(("stored", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_an_accent_may_be_a_letter_of_its_own(
    stored: Literal["NFC", "NFD"], asked: Literal["NFC", "NFD"], tmp_path: Path
) -> None:
    """As in names of files that come from a Mac."""
    name = "Pinselstärke"
    save(tmp_path / f"{unicodedata.normalize(stored, name)}.safetensors", TENSORS)
    assert LoraFolder(tmp_path).by_name(unicodedata.normalize(asked, name)).rank == 2
    with pytest.raises(InvalidRequest, match="no adapter"):
        LoraFolder(tmp_path).by_name("Pinselstarke")


def test_what_cannot_be_found_by_a_name_is_told_of(root: Path) -> None:
    """Beside what can: whatever else is in the folder, the list is made."""
    (root / "linked.safetensors").symlink_to(root.parent / "secret.safetensors")
    (root / "absent.safetensors").symlink_to("nowhere.safetensors")
    (root / "folder.safetensors").mkdir()
    (root / "old.ckpt").write_bytes(b"pickle")
    (root / "two\nlines.safetensors").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(root) + b"/latin-\xfc.safetensors")).write_bytes(b"")
    (root / ".hidden.safetensors").write_bytes(b"")
    folder = LoraFolder(root)
    inside = "it is no file inside the folder of adapters"
    assert {entry.name: entry.trouble for entry in folder.entries() if entry.trouble} == {
        "absent": inside,
        "folder": inside,
        "linked": inside,
        "latin-\\xfc.safetensors": "its name is not in UTF-8; rename it",
        "old.ckpt": "only .safetensors files are read; convert it",
        "two\\nlines": "its name has control characters; rename it",
    }
    assert folder.names() == ["diffusers", "ink", "peft"]


def test_a_replaced_file_is_read_again(root: Path) -> None:
    folder = LoraFolder(root)
    first = folder.by_name("ink")
    assert folder.by_name("ink") is first
    save(root / "ink.safetensors", {"x.lora_A.weight": torch.ones(4, 5), "x.lora_B.weight": torch.ones(3, 4)})
    second = folder.by_name("ink")
    assert (second.rank, second.version != first.version) == (4, True)


def test_new_settings_make_a_new_version(root: Path) -> None:
    folder = LoraFolder(root)
    before = folder.by_name("peft")
    (root / "peft" / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 1}')
    assert folder.by_name("peft").version != before.version
