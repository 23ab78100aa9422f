"""Makes forms of trees and their ensembles that onnxruntime runs, with exact sums."""

from __future__ import annotations

from modelsync.models.compiled import encoders, forest, forest_graph, form_columns
from modelsync.models.compiled.compiled_model import CompiledModel
from modelsync.models.compiled.compiler import NotCompilable, Target
from modelsync.models.compiled.onnx_model import OnnxModel


class ForestCompiler:
    """Reads the trees of the last estimator, before which there is nothing but an encoding."""

    name = "onnxruntime (trees, double)"
    is_best = True

    def compile(self, target: Target) -> CompiledModel:
        """Make a form. Raises NotCompilable."""
        encoding, steps = encoders.read(target)
        if len(steps) != 1:
            first = type(steps[0]).__name__ if steps else "nothing"
            raise NotCompilable(f"{first} is no ensemble of trees")
        found = forest.read(steps[0], target)
        return OnnxModel(
            forest_graph.graph(found, encoding.width),
            encoding,
            form_columns.of(target),
            "rounded" if found.rounds else "double",
            finish=found.finish,
        )
