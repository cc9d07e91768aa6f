"""Registries: built-in members by place, members of other packages by entry point."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from flash.accuracy.calibration import fit_space
from flash.accuracy.features import design_features
from flash.accuracy.sampling import sample_designs
from flash.errors import FlashError, UsageError
from flash.estimate import estimate
from flash.metrics import METRICS, scores
from flash.plugins import GROUPS, Registry, registry
from flash.report.reading import read_search
from flash.search import search
from flash.spaces.space import load_space

DISTRIBUTION = """\
Metadata-Version: 2.1
Name: {name}
Version: 1.0
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes a package of one module, with entry points, onto the path."""

    def write(name, source, entry_points):
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(DISTRIBUTION.format(name=name))
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.setattr(METRICS, "_read", False)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return tmp_path / f"{name}.py"

    monkeypatch.syspath_prepend(str(tmp_path))
    places, members = dict(METRICS._places), dict(METRICS._members)
    yield write
    METRICS._places, METRICS._members = places, members


ONE_FILE = '''
"""Width of the widest layer of a network."""

import numpy as np

from flash.metrics import NetworkMetric
from flash.quantities import Quantity


def widest(network):
    return float(max(int(layer.out_channels) for layer in network.layers))


WIDEST = NetworkMetric(quantity=Quantity("widest", "widest layer"), source="a test", network=widest)
'''

PER_CELL = '''
"""Convolutions of a network, cell by cell."""

import numpy as np

from flash.metrics import CellMetric
from flash.quantities import Quantity


def convs(table):
    rows = (table.ops == "conv")[:, None] & table.active
    cells = np.array([layer.cell >= 0 for layer in table.layers], dtype=bool)
    return (rows & cells[:, None]).sum(axis=0).astype(float)


CONVS = CellMetric(quantity=Quantity("convs_in_cells", "convs"), source="a test", table=convs)
'''


def test_a_data_free_metric_is_one_file_and_one_registration(package, tmp_path):
    package("one_metric", PER_CELL, "[flash.metrics]\nconvs_in_cells = one_metric:CONVS\n")
    edited = [path.name for path in tmp_path.iterdir() if path.suffix == ".py"]
    assert edited == ["one_metric.py"]  # and one line of entry points, no file of flash

    report = search("rpi3b", "cifar10-concat", metric="convs_in_cells", max_latency_ms=20)
    space = load_space("cifar10-concat")
    assert report.score == "convs_in_cells" and report.optimizer.certified
    for design in report.front[:5]:
        depth = sum(value for name, value in design.design.items() if name.startswith("d"))
        assert design.quantity("convs_in_cells") == depth
    again = read_search(report.to_json(), "front.json")
    assert again.front[0].quantity("convs_in_cells") == report.front[0].quantity("convs_in_cells")

    texts = [json.dumps(dict(design.design)) for design in report.front[:3]]
    rows = estimate(space="cifar10-concat", designs=texts, metrics=["convs_in_cells"])
    shown = [design.quantity("convs_in_cells") for design in report.front[:3]]
    assert [row["convs_in_cells"] for row in rows] == shown

    designs = np.array([space.parse(text) for text in texts])
    features = design_features(space, designs, ("log_params", "log_convs_in_cells"))
    assert features[:, 1] == pytest.approx(np.log1p(shown))


def test_a_metric_of_whole_networks_ranks_what_is_found(package):
    package("one_metric", ONE_FILE, "[flash.metrics]\nwidest = one_metric:WIDEST\n")
    rows = estimate(
        space="cifar10-concat", designs=["w=16,32,64 d=4,4,4 t=16,16,32"], metrics=["widest"]
    )
    assert rows[0]["widest"] >= 64
    with pytest.raises(UsageError, match="widest is no sum over the stages of space cifar10-conc"):
        search("rpi3b", "cifar10-concat", metric="widest")


def test_a_spaces_own_metric_may_come_from_a_package(package, tmp_path):
    package("one_metric", PER_CELL, "[flash.metrics]\nconvs_in_cells = one_metric:CONVS\n")
    shipped = load_space("cifar10-add")
    text = (shipped_file("cifar10-add")).read_text()
    own = tmp_path / "own.toml"
    head = 'metric = "convs_in_cells"\n'
    own.write_text(head + text.partition("[accuracy]")[0])
    report = search("rpi3b", str(own), max_latency_ms=20)
    assert report.score == "convs_in_cells"
    assert shipped.metric == "nn_degree"
    # calibrate's models read it: the score of kriging and of the rising forms.
    space = load_space(str(own))
    designs = sample_designs(space, 12, seed=0)
    depth = scores(space, designs, ["convs_in_cells"])["convs_in_cells"]
    model = fit_space(
        space, designs, 50 + 10 * np.log(depth), data="made up", recipe="none", epochs=0,
        seeds=(0,), hardware="none", date="2026-01-01",
    )  # fmt: skip
    assert "log_convs_in_cells" in model.samples.names
    assert model.metric in ("convs_in_cells", "accuracy", "")


def shipped_file(name):
    from flash.files.locations import data_file

    return data_file("models", name)


def test_an_unknown_name_is_met_with_the_closest():
    with pytest.raises(UsageError, match="unknown metric 'nn_degre' .did you mean 'nn_degree'"):
        METRICS["nn_degre"]


def test_looking_a_name_up_imports_that_member_only():
    registry = Registry("flash.metrics", "thing", {"one": "this:s", "two": "antigravity:fly"})
    assert "two" in registry and "antigravity" not in sys.modules
    assert list(registry) == ["one", "two"]


def test_a_member_that_cannot_be_imported_names_its_place(package):
    package("broken", "import no_such_library\n", "[flash.metrics]\nbroken = broken:METRIC\n")
    with pytest.raises(FlashError, match=r"metric 'broken' \(broken:METRIC\) cannot be loaded"):
        METRICS["broken"]


def test_no_package_replaces_a_member_of_flash(package):
    package("rival", ONE_FILE, "[flash.metrics]\nsed = rival:WIDEST\n")
    list(METRICS)
    assert METRICS["sed"].quantity.label == "SED"
    assert METRICS.shadowed == ["sed = rival:WIDEST"]
    METRICS.shadowed.clear()


def test_members_added_by_running_code_can_be_taken_out_again():
    registry = Registry("flash.metrics", "thing", {"one": "string:digits"})
    registry.add("two", "2")
    assert dict(registry.items()) == {"one": "0123456789", "two": "2"}
    assert registry.origin("one") == "flash" and registry.origin("two") == "running code"
    with pytest.raises(ValueError, match="there is a thing 'one' already"):
        registry.add("one", "1")
    registry.remove("two")
    with pytest.raises(ValueError, match="no thing 'one' was added by running code"):
        registry.remove("one")


def test_a_plain_search_looks_for_no_other_packages(tmp_path):
    """Reading entry points takes 10 ms, which a search of flash's own names does not pay."""
    code = (
        "import sys\n"
        "from flash.search.command import main\n"
        f"main(['--target', 'rpi4b', '--quiet', '--json', {str(tmp_path / 'front.json')!r}])\n"
        "from flash.metrics import METRICS\n"
        "from flash.proxies.registry import PROXIES\n"
        "assert not METRICS._read and not PROXIES._read\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_a_registry_with_members_of_ours(group):
    members = registry(group)
    assert len(list(members)) > 0
    assert isinstance(members, Registry) == (group != "flash.proxies")  # proxies and aggregates
    if isinstance(members, Registry):
        assert members.group == group and members.builtin
