"""What an exporter promises."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath

import pytest

from flash.export import Exporter, Order
from flash.testing.small import small_network

__all__ = ["ExporterConformance"]


class ExporterConformance:
    """Subclass it and give the fixture ``exporter``. Needs the extra onnx.

    reproducible: the same order gives the same files, byte by byte.
    """

    reproducible: bool = True

    @pytest.fixture
    def exporter(self) -> Exporter:
        """The exporter under test."""
        raise NotImplementedError

    @pytest.fixture
    def order(self) -> Order:
        """A small network with random weights."""
        pytest.importorskip("onnxruntime")
        from flash.backends import random_weights  # noqa: PLC0415 (an extra)

        network = small_network()
        return Order(network, "space-1f", random_weights(network, 0), "random, seed 0")

    def test_files_are_named_after_the_design(self, exporter: Exporter, order: Order) -> None:
        """Plain names that begin with the stem, none of them empty."""
        build = exporter.build(order)
        assert build.files
        for name, content in build.files.items():
            assert PurePath(name).name == name and name.startswith(order.stem)
            assert isinstance(content, bytes) and content

    def test_the_manifest_says_what_was_delivered_and_how_it_was_checked(
        self, exporter: Exporter, order: Order
    ) -> None:
        """Plain JSON: name, hash and size of the file, input and output, what was verified."""
        build = exporter.build(order)
        entry = json.loads(json.dumps(build.to_dict("form"), allow_nan=False))
        first, content = next(iter(build.files.items()))
        assert entry["file"] == first and entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["input"]["shape"][1:] == list(order.shape)
        assert entry["verified"] and all(isinstance(line, str) for line in entry["verified"])
        assert all(isinstance(word, str) and word for word in exporter.describe(entry))

    def test_the_same_order_gives_the_same_files(self, exporter: Exporter, order: Order) -> None:
        """Nothing of the day or the machine is in them."""
        if not self.reproducible:
            pytest.skip("the format does not promise it")
        assert exporter.build(order).files == exporter.build(order).files
