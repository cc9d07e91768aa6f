"""Fused attention operators as the products and the softmax that they are.

The network read is the same as that of a file which writes them as separate nodes.
"""

from __future__ import annotations

from flash.backends.onnx.ir.graph import Node
from flash.backends.onnx.ir.mapper import Mapper
from flash.backends.onnx.operators.products import linear, stack

__all__ = ["attention", "multi_head", "packed_attention"]


def attention(mapper: Mapper, node: Node) -> None:
    """ONNX's own: Q, K, V of shape (B, L, heads D) or (B, heads, L, D)."""
    query, key, value = (mapper.shape(node.input(k)) for k in (0, 1, 2))
    if len(query) == 4:
        heads, length, width = query[1:]
        kept, wide = key[2], value[3]
    else:
        heads = node.attributes["q_num_heads"]
        length, width = query[1], query[2] // heads
        kept = key[1]
        wide = value[2] // node.attributes.get("kv_num_heads", heads)
    _attend(mapper, node, node.inputs[:3], (query[0], heads, length, kept, width, wide))


def multi_head(mapper: Mapper, node: Node) -> None:
    """``com.microsoft.MultiHeadAttention``: query (B, L, D), key and value likewise."""
    query = mapper.shape(node.input(0))
    if len(query) != 3 or not node.input(1) or not node.input(2):
        raise mapper.refusal(node, "only separate query, key and value are costed")
    key, value = mapper.shape(node.input(1)), mapper.shape(node.input(2))
    heads = node.attributes["num_heads"]
    kept = key[1] if len(key) == 3 else key[2]
    wide = (value[2] // heads) if len(value) == 3 else value[3]
    names = [name for name in node.inputs[:3] if name]
    sizes = (query[0], heads, query[1], kept, query[2] // heads, wide)
    _attend(mapper, node, names, sizes)


def packed_attention(mapper: Mapper, node: Node) -> None:
    """``com.microsoft.Attention``: projects input (B, L, D) by one matrix, then attends."""
    batch, length, features = mapper.shape(node.input(0))
    total = mapper.shape(node.input(1))[-1]
    heads = node.attributes["num_heads"]
    out = mapper.shape(node.outputs[0])[-1]
    width, wide = (total - out) // 2 // heads, out // heads
    projected = f"{node.outputs[0]}/qkv"
    mapper.temporary(projected, (batch, length, total), node.outputs[0])
    inner = Node("MatMul", node.name, node.inputs[:1], [projected])
    linear(
        mapper,
        inner,
        node.input(0),
        node.input(1),
        (features, total, batch * length),
        node.input(2),
        bool(node.input(2)),
    )
    _attend(mapper, node, [projected], (batch, heads, length, length, width, wide))


def _attend(
    mapper: Mapper, node: Node, names: list[str], sizes: tuple[int, int, int, int, int, int]
) -> None:
    """Scores, softmax, weighted sum; sizes: batch, heads, L, L of keys, D, D of values."""
    batch, heads, length, kept, width, wide = sizes
    output = node.outputs[0]
    scores = mapper.temporary(f"{output}/scores", (batch, heads, length, kept), output)
    shares = mapper.temporary(f"{output}/shares", (batch, heads, length, kept), output)
    plain = Node("MatMul", node.name, names, [scores])
    stack(mapper, plain, (batch * heads, length, width, kept), inputs=names[:2], output=scores)
    mapper.record("act", plain, [scores], shares, act="softmax", kernel_width=kept)
    values = [shares, names[-1]]
    stack(mapper, plain, (batch * heads, length, kept, wide), inputs=values, output=output)
