"""A checkpoint's tokenizer as one file, which `pipelines.tokenizer` reads without transformers."""

from pathlib import Path

from export.errors import CheckpointError


def fast_tokenizer(folder: Path) -> str:
    """`tokenizer.json` of the tokenizer in `folder`, as transformers' `AutoTokenizer` understands it.

    That is more than the file of this name there, which may be absent (Qwen-Image has `vocab.json` and `merges.txt`),
    and of which some classes take nothing but the vocabulary.

    Raises:
        CheckpointError: there is none that can be read, or it has no fast form.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever its many formats lead to
        raise CheckpointError(f"{folder} holds no tokenizer that transformers can read: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(f"{folder} holds a {type(tokenizer).__name__}, which has no fast form (tokenizer.json)")
    fast = tokenizer.backend_tokenizer
    fast.no_padding()
    fast.no_truncation()
    text: str = fast.to_str(pretty=True)
    return text
