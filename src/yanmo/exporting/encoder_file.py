"""An encoder read back from the ONNX file that ``encoder_graph`` wrote, so that it can be quantized or pruned again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError
from yanmo.exporting.encoder import Distances, Encoder, Layer, Norm, Product
from yanmo.exporting.encoder_graph import LAYOUT, Layout

__all__ = ["read_encoder"]


def read_encoder(path: Path) -> Encoder | None:
    """Return the encoder of an ONNX file, or None where the file was not written from one.

    Args:
        path: The file.

    Raises:
        ModelError: Its weights are int8 already.
    """
    model = onnx.load(path, load_external_data=False)
    notes = {one.key: one.value for one in model.metadata_props}
    if LAYOUT not in notes:
        return None
    constants = {one.name: one for one in model.graph.initializer}
    if any(one.data_type == onnx.TensorProto.INT8 for one in constants.values()):
        raise ModelError(f"{path} has int8 weights already.", hint="Give the Bundle it was made from.")
    return _Reader(constants, path.parent).encoder(msgspec.json.decode(notes[LAYOUT], type=Layout))


class _Reader:
    """Constants by name, in the shapes of ``encoder``."""

    def __init__(self, constants: dict[str, onnx.TensorProto], folder: Path) -> None:
        self._constants = constants
        self._folder = folder

    def encoder(self, layout: Layout) -> Encoder:
        return Encoder(
            tokens_VE=self._array("tokens"),
            positions_PE=self._array("positions") if "positions" in self._constants else None,
            # Where it has none, the first text's type was added to the positions when the file was written.
            types_SE=self._array("types") if layout.has_types else None,
            embedding_norm=self._norm("embedding_norm"),
            projection=self._product("projection") if layout.has_projection else None,
            layers=tuple(self._layer(layout, place) for place in range(len(layout.layers))),
            activation=layout.activation,
            head=tuple(self._product(name) for name in ("head.hidden", "head.classifier") if self._has(name)),
            head_activation=layout.head_activation,
            pooling=layout.pooling,
            epsilon=layout.epsilon,
            norms_first=layout.norms_first,
            is_gated=layout.is_gated,
            final_norm=self._find_norm("final_norm"),
            head_norm=self._find_norm("head.norm"),
        )

    def _layer(self, layout: Layout, place: int) -> Layer:
        name = layout.layers[place]
        # Files of older versions say nothing of what no layer had then.
        distances = layout.distances[place] if layout.distances else ""
        return Layer(
            name,
            layout.num_heads[place],
            self._product(f"{name}.attention_in"),
            self._product(f"{name}.attention_out"),
            self._find_norm(f"{name}.attention_norm"),
            self._product(f"{name}.feed_forward_in"),
            self._product(f"{name}.feed_forward_out"),
            self._norm(f"{name}.feed_forward_norm"),
            Distances(distances, self._array(distances)) if distances else None,
            layout.rotary_bases[place] if layout.rotary_bases else 0.0,
            layout.windows[place] if layout.windows else 0,
        )

    def _product(self, name: str) -> Product:
        return Product(name, self._array(f"{name}.weight"), self._array(f"{name}.bias"))

    def _has(self, name: str) -> bool:
        return f"{name}.weight" in self._constants

    def _norm(self, name: str) -> Norm:
        return Norm(name, self._array(f"{name}.scale"), self._array(f"{name}.shift"))

    def _find_norm(self, name: str) -> Norm | None:
        return self._norm(name) if f"{name}.scale" in self._constants else None

    def _array(self, name: str) -> FloatArray:
        return np.asarray(numpy_helper.to_array(self._constants[name], str(self._folder)), np.float32)
