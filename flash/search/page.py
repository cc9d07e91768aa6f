"""The page of a search: its front to explore, and models of the user's beside it."""

from __future__ import annotations

from collections.abc import Sequence

from flash.errors import UsageError
from flash.explorer import OwnModel, Source, explorer_html, search_words
from flash.quantities import parse_only_input, quantity
from flash.report.chip import chip_svg
from flash.search.pipeline import Outcome
from flash.search.request import Request

__all__ = ["front_page", "own_models"]


def front_page(
    request: Request, outcome: Outcome, own: Sequence[OwnModel], arguments: Sequence[str]
) -> str:
    """The page as HTML; ``arguments`` are those of the command, for the commands it gives."""
    source = Source(
        space=request.space,
        target=request.target,
        runtime=request.runtime,
        hardware=request.hardware,
        seed=request.seed,
        command=search_words(arguments, request.target, request.space),
        own=own,
    )
    chip = "" if outcome.chip is None else chip_svg(outcome.chip)
    return explorer_html(outcome.report, source, chip)


def own_models(
    request: Request,
    models: Sequence[str],
    accuracy: str | None = None,
    inputs: Sequence[str] = (),
) -> list[OwnModel]:
    """Models of the user's priced on the target of the search.

    accuracy: of the one model, as its user types it; flash cannot know it.
    inputs:   sizes of their inputs, as on the command line (``parse_only_input``).

    Raises ``InputError`` for a file that is no model, ``UsageError`` for an accuracy of several.
    """
    if not models:
        if accuracy is not None:
            raise UsageError("--model-accuracy needs --model, the model that has it")
        return []
    if accuracy is not None and len(models) > 1:
        raise UsageError("--model-accuracy is that of one --model; leave the others out")
    from flash.estimate import estimate  # noqa: PLC0415 (another verb, and an extra)

    known = {}
    if accuracy is not None:
        value = quantity("accuracy").parse(accuracy, "--model-accuracy")
        known["accuracy"] = (value, value, value)
    only, by_name = parse_only_input(None, inputs)
    rows = estimate(
        models=models, target=request.target, runtime=request.runtime, hardware=request.hardware,
        input_shape=only, inputs=by_name,
    )  # fmt: skip
    return [OwnModel(str(row["design"]), {**_costs(row), **known}) for row in rows]


def _costs(row: dict[str, object]) -> dict[str, tuple[float, float, float]]:
    """Every quantity of a row with its interval, where it has one."""
    found = {}
    for name in ("latency_ms", "energy_mj", "area_mm2", "params", "macs"):
        columns = quantity(name).columns
        values = [row.get(column, row.get(name)) for column in columns]
        if all(isinstance(value, int | float) for value in values):
            low, middle, high = (float(str(values[k])) for k in (1, 0, 2))
            found[name] = (middle, low, high)
    return found
