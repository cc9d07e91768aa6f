"""What each ONNX operator is to a network's cost: a handler an operator, in an open registry.

A handler is a function of a ``Mapper`` and a ``Node`` that records the layers the node is. Other
packages add theirs through the entry-point group ``flash.operators``; the name is the
operator's, with its domain in front unless that is ONNX's own (``com.maker.FusedThing``). Where
ONNX's inference does not know the shape of the result, the function may have an attribute
``infer``: a function of a ``Graph`` and a ``Node`` that returns a ``Value`` an output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from flash.plugins import Registry

if TYPE_CHECKING:
    from flash.backends.onnx.ir.graph import Node
    from flash.backends.onnx.ir.mapper import Mapper

__all__ = ["OPERATORS", "Handler", "handler_of"]

Handler = Callable[["Mapper", "Node"], None]

_HERE: Final = "flash.backends.onnx.operators"
_MS: Final = "com.microsoft."
_ML: Final = "ai.onnx.ml."

#: Module and function -> operators.
_HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "windows:conv": ("Conv", "DeformConv"),
    "windows:conv_transpose": ("ConvTranspose",),
    "windows:pool": ("MaxPool", "AveragePool", "LpPool"),
    "windows:global_pool": ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
    "products:gemm": ("Gemm", _MS + "FusedGemm"),
    "products:matmul": ("MatMul", _MS + "FusedMatMul", _MS + "TransposeMatMul"),
    "products:matmul_bits": (_MS + "MatMulNBits",),
    "products:einsum": ("Einsum",),
    "recurrent:recurrent": ("LSTM", "GRU", "RNN"),
    "attention:attention": ("Attention",),
    "attention:packed_attention": (_MS + "Attention",),
    "attention:multi_head": (_MS + "MultiHeadAttention",),
    "normalisation:batch_norm": ("BatchNormalization",),
    "normalisation:layer_norm": (
        "LayerNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "RMSNormalization",
        "LpNormalization",
        "MeanVarianceNormalization",
        "LRN",
        "SimplifiedLayerNormalization",
        "flash.RmsNorm",
    ),
    "normalisation:skip_norm": (
        _MS + "SkipLayerNormalization",
        _MS + "SkipSimplifiedLayerNormalization",
    ),
    "normalisation:skip_norm_kernel": (
        "flash.SkipLayerNormalization",
        "flash.SkipSimplifiedLayerNormalization",
    ),
    "normalisation:embedding_norm": (_MS + "EmbedLayerNormalization",),
    "elementwise:activation": (
        "Celu",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "LogSoftmax",
        "Mish",
        "PRelu",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
        "Hardmax",
        _MS + "FastGelu",
        _MS + "Gelu",
        _MS + "QuickGelu",
        "flash.Silu",
    ),
    "elementwise:bias_gelu": (_MS + "BiasGelu",),
    "elementwise:unary": (
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "BitwiseNot",
        "Ceil",
        "Cos",
        "Cosh",
        "Floor",
        "IsInf",
        "IsNaN",
        "Log",
        "Neg",
        "Not",
        "Reciprocal",
        "Round",
        "Shrink",
        "Sign",
        "Sin",
        "Sinh",
        "Tan",
        "CumSum",
        "Trilu",
        "Bernoulli",
        _ML + "Scaler",
        _ML + "Normalizer",
        _ML + "Binarizer",
        _ML + "Imputer",
        _ML + "LabelEncoder",
        _MS + "RotaryEmbedding",
        "RotaryEmbedding",
    ),
    "elementwise:binary": (
        "Add",
        "And",
        "BitShift",
        "BitwiseAnd",
        "BitwiseOr",
        "BitwiseXor",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    ),
    "moving:view": (
        "Cast",
        "CastLike",
        "Dropout",
        "Flatten",
        "Identity",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        _ML + "ZipMap",
        _ML + "CastMap",
        "flash.Part",
    ),
    "moving:cast": ("flash.Cast",),
    "moving:reorder": ("flash.Reorder",),
    "moving:block_upsample": ("flash.BlockUpsample",),
    "moving:concat": ("Concat",),
    "moving:stack": ("flash.Stack",),
    "moving:pad": ("Pad",),
    "moving:slice_": ("Slice",),
    "moving:split": ("Split",),
    "moving:copy": (
        "CenterCropPad",
        "Col2Im",
        "DepthToSpace",
        "Expand",
        "ReverseSequence",
        "SpaceToDepth",
        "Tile",
    ),
    "moving:transpose": ("Transpose",),
    "moving:resize": ("Resize", "Upsample", "GridSample", "AffineGrid", "RoiAlign", "MaxRoiPool"),
    "moving:gather": ("Gather", "GatherElements", "GatherND", _ML + "ArrayFeatureExtractor"),
    "moving:scatter": ("Scatter", "ScatterElements", "ScatterND", "MaxUnpool", "TensorScatter"),
    "moving:sort": (
        "ArgMax",
        "ArgMin",
        "Compress",
        "NonMaxSuppression",
        "NonZero",
        "OneHot",
        "TopK",
        "Unique",
    ),
    "reducing:reduce": (
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ),
    "spectral:fourier": ("DFT",),
    "spectral:short_time_fourier": ("STFT",),
    "classical:trees": (
        _ML + "TreeEnsemble",
        _ML + "TreeEnsembleClassifier",
        _ML + "TreeEnsembleRegressor",
    ),
    "classical:linear": (_ML + "LinearClassifier", _ML + "LinearRegressor"),
    "classical:support_vectors": (_ML + "SVMClassifier", _ML + "SVMRegressor"),
}

#: Operator -> its handler.
OPERATORS: Final[Registry[Any]] = Registry(
    "flash.operators",
    "operator",
    {op: f"{_HERE}.{home}" for home, ops in _HOMES.items() for op in ops},
)


def handler_of(op: str) -> Handler | None:
    """The handler of an operator, or None where nobody has one."""
    if op not in OPERATORS:
        return None
    found: Handler = OPERATORS[op]
    return found
