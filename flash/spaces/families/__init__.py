"""Network families: each written once, emitted as a graph or as a table."""

from flash.spaces.families.base import Family, InputShape, Stage
from flash.spaces.families.cells import AddFamily, ConcatFamily
from flash.spaces.families.mobilenet import MobileNetV2Family
from flash.spaces.families.nasbench201 import NasBench201Family
from flash.spaces.families.nasbench_macro import NasBenchMacroFamily

__all__ = ["FAMILIES", "Family", "InputShape", "Stage"]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        AddFamily,
        ConcatFamily,
        MobileNetV2Family,
        NasBench201Family,
        NasBenchMacroFamily,
    )
}
