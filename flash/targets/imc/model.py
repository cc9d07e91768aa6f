"""Latency, energy and area of networks on chips of crossbar tiles.

What is exact and what is a bound, for whoever optimises over it. Given the hardware:

* crossbars, tiles, area, computing time and every energy but that of the mesh and of idle tiles
  are sums over layers, exactly;
* the mesh is not: how far a layer is from the one before it depends on how many tiles lie
  before both and on the side of the mesh. ``hops="placed"`` is the figure of the real placement;
  ``hops="least"`` replaces it by a proven lower bound, made of what a part of a network knows of
  itself: the tiles of its own layers. Added up over the stages of a family, latency and energy
  are never above those of ``placed``, and the nearer the larger the stages. Minimise with
  ``least``, then state the best design's ``placed``:
  the difference bounds what any other design could gain;
* ``_low`` and ``_high`` of one stage are over the converter models; their sums over stages are
  an outer interval, since each stage may take its ends from another model. Compare converters
  one at a time (a profile with one in ``adc_models``) where that matters.
* leakage of idle tiles is (sum of tiles) x (sum of times). ``least`` lets only tiles at
  work leak, which is below it and a sum over layers.

A network with more layers, channels or positions never computes for a shorter time. The mesh may
serve it faster: a layer on more tiles has more links to send by, and the tiles of the others move.
So it can be predicted faster by a part of what the smaller one spends on the mesh (up to 10 % of
the latency of an ImageNet MobileNet-V2, 2 % of a CIFAR-10 network).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.errors import UsageError
from flash.spaces.table import LayerTable
from flash.targets.imc.mapping import Mapped, map_layers
from flash.targets.imc.moves import DistinctMoves
from flash.targets.imc.noc import burst_cycles, mesh_side, wire_pj_per_bit
from flash.targets.imc.parts import TilePart, tile_parts
from flash.targets.imc.pipeline import pipeline_ns
from flash.targets.imc.profile import ImcHardware, Options
from flash.targets.imc.traffic import Hops, Traffic, least_transfer, network_traffic, refetch

__all__ = ["Chip", "Work", "evaluate", "imc_costs", "least_moved", "prepare"]

Floats = NDArray[np.float64]
Values = Mapping[str, int | NDArray[np.int64]]
_POOLS = ("max_pool", "avg_pool", "global_pool")
_ADDS = ("add", "norm")


@dataclass(frozen=True)
class Work:
    """What a network asks of the chip, whatever the converters are."""

    table: LayerTable
    hardware: ImcHardware
    options: Options
    hops: Hops
    mapped: Mapped
    traffic: Traffic


@dataclass(frozen=True)
class Chip:
    """Everything about one converter model.

    energy_pj:   component -> (rows, options), leakage not included.
    compute_ns, noc_ns: (rows, options).
    parts_mm2:   part -> (options,), of one tile, router included.
    leakage_mw:  (options,), of one tile.
    """

    energy_pj: dict[str, Floats]
    compute_ns: Floats
    noc_ns: Floats
    parts_mm2: dict[str, Floats]
    leakage_mw: Floats


def imc_costs(
    table: LayerTable, hardware: ImcHardware, variables: Values, hops: Hops = "placed"
) -> dict[str, Floats]:
    """Costs of every design of ``table``, one image at a time.

    variables: hardware variable -> an integer, or one integer an option. Designs and options
               pair up (equal numbers), or one of them is a single one.
    hops:      "placed", or "least" for a lower bound that adds up over stages (module).
    returns:   arrays of shape (designs or options,): ``latency_ms`` (layer after layer),
               ``pipelined_latency_ms``, ``interval_ms`` (between images, pipelined),
               ``dynamic_energy_mj``, ``leakage_mw`` (of the chip), ``energy_mj``,
               ``area_mm2``, each followed by its ``_low`` and ``_high`` over the profile's
               converter models (ends of different quantities may come from different
               models); ``crossbars``, ``tiles``, ``mesh_side``, ``utilisation`` (share of
               cells that hold weights) and ``adc_bits_missing`` (bits by which the
               converters fall short of an exact sum; accuracy may suffer above 0).

    All layers of the table are built, those that reach no output too. Adding up, activation
    and pooling keep pace with the crossbars: they cost area and energy but no time.
    Raises ``UsageError`` for impossible variables.
    """
    work = prepare(table, hardware, variables, hops)
    settings = hardware.settings
    totals = {name: _totals(work, evaluate(work, name)) for name in settings.adc_models}
    result: dict[str, Floats] = {}
    for key, value in totals[settings.adc_model].items():
        every = [total[key] for total in totals.values()]
        result[key] = value
        result[f"{key}_low"] = np.minimum.reduce(every)
        result[f"{key}_high"] = np.maximum.reduce(every)
    mapped, options = work.mapped, work.options
    result["crossbars"] = mapped.crossbars.sum(axis=0)
    result["tiles"] = mapped.tiles.sum(axis=0)
    result["mesh_side"] = mesh_side(result["tiles"])
    cells = result["tiles"] * options.crossbars_per_tile * options.rows * options.columns
    result["utilisation"] = (mapped.used_cells * mapped.copies).sum(axis=0) / np.maximum(cells, 1)
    exact = np.ceil(np.log2(options.rows)) + hardware.precision.dac_bits + options.cell_bits - 2
    result["adc_bits_missing"] = np.maximum(exact - options.adc_bits, 0)
    return result


def prepare(table: LayerTable, hardware: ImcHardware, variables: Values, hops: Hops) -> Work:
    """Mapping and traffic; raises ``UsageError`` as ``imc_costs``."""
    given = hardware.options(variables)
    sizes = {np.size(getattr(given, name)) for name in hardware.variables} | {table.designs}
    if len(sizes - {1}) > 1:
        raise UsageError(
            f"{table.designs} designs do not pair up with hardware variables of "
            f"{' and '.join(str(n) for n in sorted(sizes - {1, table.designs}))} values"
        )
    count = max(sizes)
    options = Options(
        **{n: np.broadcast_to(getattr(given, n).ravel(), (count,)) for n in hardware.variables}
    )
    mapped = map_layers(table, hardware.precision, options)
    traffic = network_traffic(table, mapped, hardware, options, hops)
    return Work(table, hardware, options, hops, mapped, traffic)


def evaluate(work: Work, adc_model: str) -> Chip:
    """Energies and times of every layer with one converter model."""
    hardware, options, mapped = work.hardware, work.options, work.mapped
    made = tile_parts(hardware, options, adc_model)
    converter = made["adc"].component
    parts = {name: part.area_mm2 for name, part in made.items()}
    pitch_mm = np.sqrt(sum(parts.values(), np.zeros(())))
    clock = options.frequency_mhz / 1000
    reading = np.ceil(hardware.settings.array_read_ns * clock)
    converting = options.columns_per_adc * np.maximum(
        np.ceil(converter.time_ns["convert"] * clock), 1
    )
    phase_ns = np.maximum(reading, converting) / clock
    phases = np.ceil(hardware.precision.activation_bits / hardware.precision.dac_bits)
    energy = _layer_pj(work, made)
    energy["adc"] = mapped.all_mvms * phases * mapped.read_columns * converter.energy_pj["convert"]
    energy["links"] = work.traffic.bit_hops * wire_pj_per_bit(hardware.noc, pitch_mm)
    compute_ns = mapped.mvms * phases * phase_ns
    # Partial sums flow while the layer computes; only what takes longer is waited for.
    late_ns = np.maximum(work.traffic.sum_cycles / clock - compute_ns, 0)
    return Chip(
        energy_pj=energy,
        compute_ns=compute_ns,
        noc_ns=work.traffic.cycles / clock + late_ns,
        parts_mm2=parts,
        leakage_mw=sum((part.leakage_mw for part in made.values()), np.zeros(())),
    )


def least_moved(
    moves: DistinctMoves, table: LayerTable, hardware: ImcHardware, variables: Values
) -> dict[str, Floats]:
    """What tensors that move within a table of stages add to ``hops="least"``: latency and energy.

    table:     one row, ``moves.layer``: its shapes side by side, once for each chip.
    variables: hardware variable -> one integer a chip.
    returns:   arrays of shape (chips, moves).
    """
    given = {name: np.ravel(values) for name, values in variables.items()}
    chips = len(given["rows"])
    shapes = table.designs // chips
    wide = hardware.options({name: np.repeat(values, shapes) for name, values in given.items()})
    options = hardware.options({name: values[:, None] for name, values in given.items()})
    mapped = map_layers(table, hardware.precision, wide)
    again = refetch(table, mapped, hardware, wide)

    def of_layers(values: Floats, at: NDArray[np.int64]) -> Floats:
        return values.reshape(chips, shapes)[:, at]

    known, fetched = moves.sender >= 0, moves.fetched
    tiles = of_layers(mapped.tiles, moves.home)
    size_a = np.where(known, of_layers(mapped.tiles, np.maximum(moves.sender, 0)), np.inf)
    fan_out = np.where(fetched, of_layers(mapped.input_copies, moves.home), 1.0)
    times = np.where(fetched, of_layers(again, moves.home), 1.0)
    bits: Floats = times * moves.elements.astype(np.float64) * hardware.precision.activation_bits
    copied, busiest, distance = least_transfer(bits, fan_out, size_a, tiles, options)
    made = tile_parts(hardware, options, hardware.settings.adc_model)
    area, leakage = (
        sum((getattr(part, name) for part in made.values()), np.zeros(()))
        for name in ("area_mm2", "leakage_mw")
    )
    ns = burst_cycles(hardware.noc, busiest, distance) / (options.frequency_mhz / 1000)
    waiting_mw = np.where(fetched, leakage * tiles, 0.0)
    if hardware.settings.chip_link:
        waiting_mw = waiting_mw + hardware.link.power_mw
    energy_pj = (
        copied * made["buffer"].component.energy_pj["use"]
        + copied * (distance + 1) * made["router"].component.energy_pj["route"]
        + copied * distance * wire_pj_per_bit(hardware.noc, np.sqrt(area))
        + waiting_mw * ns
    )
    return {"latency_ms": ns * 1e-6, "energy_mj": energy_pj * 1e-9}


def _layer_pj(work: Work, made: Mapping[str, TilePart]) -> dict[str, Floats]:
    """Energy of each component in each layer, but of those the converter decides."""
    table, hardware, mapped = work.table, work.hardware, work.mapped
    precision = hardware.precision
    phases = np.ceil(precision.activation_bits / precision.dac_bits)
    drives = mapped.all_mvms * phases * mapped.driven_rows
    conversions = mapped.all_mvms * phases * mapped.read_columns
    fetched = mapped.all_mvms * mapped.matrix_rows * mapped.input_copies
    fetched = fetched * precision.activation_bits
    has_tiles = mapped.tiles > 0
    outputs = table.out_elements.astype(np.float64)
    window = (table["kernel_height"] * table["kernel_width"]).astype(np.float64)
    window = np.where((table.ops == "global_pool")[:, None], 1, window)
    pooled = np.maximum(outputs * window, table.in_elements)
    pools = np.isin(table.ops, _POOLS)[:, None]
    adds = np.isin(table.ops, _ADDS)[:, None]
    acts = np.array([layer.act != "" for layer in table.layers])[:, None]
    uses = {
        "dac": drives,
        "input_register": drives,
        "sample_hold": conversions,
        "shift_add": conversions,
        "output_register": conversions,
        "array": mapped.all_mvms * phases * mapped.used_cells,
        "bus": fetched,
        "buffer": fetched + work.traffic.bits,
        "activation": outputs * acts,
        "pooling": np.where(pools, pooled, 0.0),
        "accumulator": outputs * mapped.block_rows + np.where(adds, table.in_elements, 0),
        "tile_register": np.where(has_tiles, outputs, 0.0) * precision.activation_bits,
    }
    energy = {name: use * made[name].component.energy_pj["use"] for name, use in uses.items()}
    energy["router"] = work.traffic.bit_routers * made["router"].component.energy_pj["route"]
    return energy


def _totals(work: Work, chip: Chip) -> dict[str, Floats]:
    hardware, tiles = work.hardware, work.mapped.tiles
    layer_ns = chip.compute_ns + chip.noc_ns
    latency_ns = layer_ns.sum(axis=0)
    dynamic_pj = sum((e.sum(axis=0) for e in chip.energy_pj.values()), np.zeros(()))
    count = tiles.sum(axis=0)
    area = count * sum(chip.parts_mm2.values(), np.zeros(()))
    leakage = chip.leakage_mw * count
    # mW x ns = pJ.
    if work.hops == "least" or hardware.settings.idle_tiles == "gated":
        standby_pj = chip.leakage_mw * (tiles * layer_ns).sum(axis=0)
    else:
        standby_pj = leakage * latency_ns
    if hardware.settings.chip_link:
        area = area + hardware.link.area_mm2
        standby_pj = standby_pj + hardware.link.power_mw * latency_ns
    interval_ns, pipelined_ns = pipeline_ns(
        work.table,
        chip.compute_ns,
        work.traffic.busiest / (work.options.frequency_mhz / 1000),
        layer_ns,
        work.mapped,
    )
    return {
        "latency_ms": latency_ns * 1e-6,
        "pipelined_latency_ms": pipelined_ns * 1e-6,
        "interval_ms": interval_ns * 1e-6,
        "dynamic_energy_mj": np.asarray(dynamic_pj) * 1e-9,
        "leakage_mw": leakage,
        "energy_mj": (dynamic_pj + standby_pj) * 1e-9,
        "area_mm2": np.asarray(area),
    }
