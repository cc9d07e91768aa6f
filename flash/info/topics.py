"""Everything that has a name in flash: targets, spaces and the members of every registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flash.errors import FlashError, UsageError, did_you_mean
from flash.files.locations import known_names
from flash.info.wrapping import hanging
from flash.metrics import METRICS
from flash.optimize import OPTIMIZERS
from flash.plugins import Registry, registry
from flash.proxies.registry import AGGREGATES, PROXIES
from flash.report import Result
from flash.spaces.family import FAMILIES
from flash.spaces.reference import reference_names, reference_network
from flash.spaces.space import load_space
from flash.targets import KINDS, load_hardware

__all__ = ["TOPICS", "Catalogue", "Entry", "catalogue"]


@dataclass(frozen=True)
class Entry:
    """Something with a name.

    description: one line.
    origin:      "flash", or the package that adds it.
    facts:       what else there is to tell, by a fixed set of names for each topic.
    """

    name: str
    description: str
    origin: str = "flash"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON document."""
        return {
            "name": self.name,
            "description": self.description,
            "origin": self.origin,
            **self.facts,
        }


@dataclass(frozen=True, repr=False)
class Catalogue(Result):
    """Everything of a topic that flash knows by name, in the order shown."""

    topic: str
    entries: tuple[Entry, ...]

    def lines(self) -> list[str]:
        """How many there are, then a name a line with what it is."""
        width = max((len(entry.name) for entry in self.entries), default=0)
        lines = [f"{len(self.entries)} {self.topic}"]
        for entry in self.entries:
            foreign = f" (from {entry.origin})" if entry.origin != "flash" else ""
            lines += hanging(f"{entry.name:<{width}}  ", entry.description + foreign)
        return lines

    def to_records(self) -> list[dict[str, Any]]:
        """A row an entry; lists and tables of values as JSON."""
        keys = dict.fromkeys(key for entry in self.entries for key in entry.to_dict())
        return [
            {key: _plain(row.get(key)) for key in keys}
            for row in (entry.to_dict() for entry in self.entries)
        ]

    def document(self) -> dict[str, Any]:
        """Schema ``flash.list/1``."""
        return {
            "schema": "flash.list/1",
            self.topic: [entry.to_dict() for entry in self.entries],
        }


def catalogue(topic: str) -> Catalogue:
    """Everything of one of ``TOPICS``: what ``flash list`` shows.

    Raises ``UsageError`` for another topic, with the closest.

    >>> "rpi4b" in [entry.name for entry in catalogue("targets").entries]
    True
    """
    if topic not in TOPICS:
        raise UsageError(f"nothing to list under '{topic}'{did_you_mean(topic, TOPICS)}")
    return Catalogue(topic, tuple(TOPICS[topic]()))


def _plain(value: Any) -> Any:
    nested = isinstance(value, list | dict)
    return json.dumps(value, ensure_ascii=False) if nested else value


def _targets() -> Iterator[Entry]:
    for name in known_names("hw_profiles"):
        hardware = load_hardware(name)
        summary = hardware.target().summary()
        options = {key: list(values) for key, values in hardware.options().items()}
        facts = {"kind": summary["kind"], "options": options}
        yield Entry(name, summary["description"], "flash", facts)


def _runtimes() -> Iterator[Entry]:
    for name in known_names("hw_profiles"):
        hardware = load_hardware(name)
        usual = hardware.target().summary().get("runtime")
        for runtime in hardware.options().get("runtime", ()):
            told = hardware.select(str(runtime)).target().summary()
            facts = {key: told.get(key) for key in ("framework", "precision", "threads")}
            facts["usual"] = runtime == usual
            basis = str(told["basis"]).removeprefix("latency is that of ")
            words = basis.replace("90 % interval in brackets, ", "")
            yield Entry(
                f"{name}:{runtime}",
                words + ("; the usual one" if facts["usual"] else ""),
                "flash",
                facts,
            )


def _spaces() -> Iterator[Entry]:
    for name in known_names("models"):
        space = load_space(name)
        facts = {
            "family": space.family.name,
            "designs": space.size,
            "metric": space.metric,
            "calibrated": space.accuracy is not None,
        }
        shown = "; predicts accuracy" if space.accuracy is not None else ""
        yield Entry(name, space.description + shown, "flash", facts)


#: Published networks that are called by more than a name.
_SIZED = {
    "mobilenet_v1": "mobilenet_v1_0.5_160: another width, another side",
    "mobilenet_v2": "mobilenet_v2_0.75_160: another width, another side",
    "yolo8n": "yolo5s_320, yolo6m-d33w5_160, ...: versions 3 to 8, sizes, sides",
}


def _networks() -> Iterator[Entry]:
    for name in (*reference_names(), "yolo8n"):
        network = reference_network(name)
        facts = {"params": network.params, "macs": network.macs}
        source = network.source
        sides = "x".join(str(int(n)) for n in (source.channels, source.height, source.width))
        words = f"{network.macs / 1e6:,.0f} million MACs, {network.params / 1e6:.2f} million"
        more = f"; also {_SIZED[name]}" if name in _SIZED else ""
        yield Entry(name, f"{words} parameters, images of {sides}{more}", "flash", facts)


def _metrics() -> Iterator[Entry]:
    for name in METRICS:
        yield _loaded(
            METRICS, name, lambda m: (f"{m.quantity.label}: {m.source}", {"per_cell": m.per_cell})
        )


def _proxies() -> Iterator[Entry]:
    for name in PROXIES:
        yield _loaded(PROXIES, name, lambda p: (p.source, {"cost": p.cost, "batch": p.batch}))
    for name, aggregate in AGGREGATES.items():
        yield Entry(name, aggregate.source, "flash", {"cost": "of its members", "batch": None})


def _samplers() -> Iterator[Entry]:
    members: Any = registry("flash.samplers")
    for name in members:
        yield _loaded(members, name, lambda s: (_first_line(s), {"gates": s.needs_gates}))


def _strategies() -> Iterator[Entry]:
    members: Any = registry("flash.strategies")
    for name in members:
        yield _loaded(members, name, lambda s: (_first_line(s.run), {"metrics": list(s.metrics)}))


def _optimizers() -> Iterator[Entry]:
    for name in OPTIMIZERS:
        yield _loaded(OPTIMIZERS, name, lambda o: (_first_line(type(o)), {}))


def _formats() -> Iterator[Entry]:
    members: Any = registry("flash.exporters")
    for name in members:
        yield _loaded(members, name, lambda e: (_first_line(e.build), {"compiles": e.compiles}))


def _families() -> Iterator[Entry]:
    for name in FAMILIES:
        yield _loaded(FAMILIES, name, lambda f: (_first_line(f), {"settings": list(f.settings)}))


def _kinds() -> Iterator[Entry]:
    for name in KINDS:
        yield _loaded(KINDS, name, lambda k: (k.description, {}))


def _components() -> Iterator[Entry]:
    members: Any = registry("flash.components")
    for name in members:
        yield _loaded(members, name, lambda c: (_first_line(type(c)), {}))


def _sensors() -> Iterator[Entry]:
    members: Any = registry("flash.sensors")
    for name in members:
        yield _loaded(members, name, lambda s: (_first_line(s), {}))


def _operators() -> Iterator[Entry]:
    members: Any = registry("flash.operators")
    for name in members:
        yield _loaded(members, name, lambda o: (_first_line(o), {}))


def _loaded(
    members: Registry[Any], name: str, tell: Callable[[Any], tuple[str, dict[str, Any]]]
) -> Entry:
    """The entry of a member; one that cannot be loaded is listed with the reason."""
    try:
        description, facts = tell(members[name])
    except FlashError as error:
        description, facts = f"not usable: {error}", {}
    return Entry(name, description, members.origin(name), facts)


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0].replace("``", "").rstrip(".")


#: What can be listed -> what lists it.
TOPICS: Mapping[str, Callable[[], Iterator[Entry]]] = MappingProxyType(
    {
        "targets": _targets,
        "runtimes": _runtimes,
        "spaces": _spaces,
        "networks": _networks,
        "metrics": _metrics,
        "proxies": _proxies,
        "strategies": _strategies,
        "samplers": _samplers,
        "optimizers": _optimizers,
        "components": _components,
        "sensors": _sensors,
        "formats": _formats,
        "families": _families,
        "kinds": _kinds,
        "operators": _operators,
    }
)
