"""PyTorch modules as users bring them, through both of PyTorch's exporters."""

from __future__ import annotations

import importlib.util

import pytest

from flash.errors import InputError, UsageError
from flash.estimate import estimate
from flash.shrink import shrink

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("onnx", reason="needs onnx")

from torch import nn  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

_FIND = importlib.util.find_spec
_EXPORTERS = ["older"] + (["newer"] if _FIND("onnxscript") else [])


@pytest.fixture
def exporter(monkeypatch):
    """Leaves PyTorch only the one of this name, the newer one by what it needs."""

    def use(name):
        if name == "older":
            hidden = {"onnxscript"}
            monkeypatch.setattr(
                importlib.util, "find_spec", lambda n, *a: None if n in hidden else _FIND(n, *a)
            )

    return use


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.narrow, self.wide = nn.Linear(10, 10), nn.Linear(10, 500)

    def forward(self, x):
        if x.mean() > 0:
            return self.narrow(x)
        return self.wide(x)


class Turning(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = nn.Linear(10, 10)

    def forward(self, x):
        turns = 0
        while x.sum() < 35:
            x = self.turn(x) * 0 + x + 1
            turns += 1
        return x


class OfSizes(nn.Module):
    """Branches on sizes, parameters and constants, which an input of these sizes cannot change."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(10, 10)

    def forward(self, x):
        rows = int(x.shape[0])
        if x.shape[1] == 10 and torch.zeros_like(x).sum() == 0:
            x = self.inner(x)
        if self.inner.weight.sum() > 1e9:
            x = x + 1
        return x.reshape(rows, -1)


class Partly(nn.Module):
    """The input reaches the condition through a part of a tensor of zeros, and as a list."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(10, 10)

    def forward(self, x):
        kept = torch.zeros(3, 2)
        kept[1] = x[0, :2]
        if kept.sum() > 0:
            x = self.inner(x)
        return self.inner(x) if x.tolist()[0][0] > 1e9 else x


class Flagged(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(10, 10)

    def forward(self, x, twice: bool = False, mask=None, *, scale: float = 2.0):
        x = self.inner(x)
        return (self.inner(x) if twice else x) * scale


class Summing(nn.Module):
    """What a graph network does: rows added up by an index."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 64)

    def forward(self, x, edges):
        x = self.inner(x)
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)[0]


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, **options)


ATTENTION = {
    "attention": (Attending, [(1, 16, 64)]),
    "encoder layer": (encoder_layer, [(1, 16, 64)]),
    "encoder layer, norm first": (lambda: encoder_layer(norm_first=True), [(1, 16, 64)]),
    "encoder": (lambda: nn.TransformerEncoder(encoder_layer(), 2), [(1, 16, 64)]),
    "decoder layer": (
        lambda: nn.TransformerDecoderLayer(64, 4, 128, batch_first=True),
        [(1, 12, 64), (1, 16, 64)],
    ),
}


def counted(module, inputs):
    """Parameters and MACs as PyTorch counts them, attention as the products it is made of."""
    counter = FlopCounterMode(display=False)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() // 2


def priced(module, inputs):
    (row,) = estimate(module, inputs).rows
    return row["params"], row["macs"]


@pytest.mark.parametrize("name", _EXPORTERS)
@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_has_the_macs_and_parameters_that_pytorch_counts(kind, name, exporter):
    exporter(name)
    make, shapes = ATTENTION[kind]
    torch.manual_seed(0)
    module = make().eval()
    inputs = tuple(torch.rand(*shape) for shape in shapes)
    assert priced(module, inputs) == counted(module, inputs)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("name", _EXPORTERS)
def test_a_branch_that_the_input_decides_is_named_and_priced_as_the_example_takes_it(
    name, exporter, capfd
):
    exporter(name)
    assert priced(Branching(), torch.ones(1, 10))[1] == 100
    note = capfd.readouterr().err
    assert note.startswith("note: Branching: the module reads numbers that its input decides, at ")
    assert "test_modules.py:" in note and "(if x.mean() > 0:)" in note
    assert note.count("\n") == 1
    assert priced(Branching(), -torch.ones(1, 10))[1] == 5000


def test_a_loop_that_the_input_ends_is_named_once_however_many_its_turns(exporter, capfd):
    exporter("older")
    assert priced(Turning(), torch.ones(1, 10))[1] == 3 * 100
    note = capfd.readouterr().err
    assert note.count("(while x.sum() < 35:)") == 1


def test_branches_on_sizes_and_parameters_are_no_matter_of_the_example(exporter, capfd):
    exporter("older")
    assert priced(OfSizes(), torch.rand(2, 10))[1] == 200
    assert not capfd.readouterr().err


def test_numbers_read_from_a_tensor_that_the_input_was_written_into_are_the_inputs(exporter, capfd):
    exporter("older")
    priced(Partly(), torch.ones(1, 10))
    note = capfd.readouterr().err
    assert "(if kept.sum() > 0:)" in note and "x.tolist()" in note


class Seeing(nn.Module):
    """Convolutions and a recurrent layer, and a branch on what they compute."""

    def __init__(self):
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.read = nn.GRU(8, 12, batch_first=True)

    def forward(self, x):
        y = self.read(self.seen(x).flatten(2).transpose(1, 2))[0]
        return y if y.sum() > 1e9 else y + 1


@pytest.mark.parametrize("name", _EXPORTERS)
def test_a_branch_on_what_layers_compute_leaves_their_macs(name, exporter, capfd):
    exporter(name)
    x = torch.rand(1, 3, 6, 6)
    # A window of 3 x 3 x 3 at 36 places, eight filters; 36 turns of three gates of 8 + 12 inputs.
    assert priced(Seeing(), x)[1] == 36 * 27 * 8 + 36 * 3 * 12 * (8 + 12)
    assert "(return y if y.sum() > 1e9 else y + 1)" in capfd.readouterr().err


@pytest.mark.parametrize("name", _EXPORTERS)
def test_flags_of_forward_keep_their_values(name, exporter, capfd):
    exporter(name)
    x = torch.rand(1, 10)
    assert priced(Flagged(), x)[1] == 100
    assert priced(Flagged(), (x, {"twice": True}))[1] == 200
    assert priced(Flagged(), {"x": x, "twice": True})[1] == 200
    assert not capfd.readouterr().err


def test_a_module_that_cannot_be_exported_is_one_line_and_prints_nothing(exporter, capfd):
    exporter("older")
    module = Summing()
    with pytest.raises(InputError, match="^Summing: PyTorch cannot export it: [^\n]*onnxscript"):
        estimate(module, (torch.rand(9, 16), torch.randint(0, 9, (2, 40))))
    assert capfd.readouterr() == ("", "")
    assert "forward" not in vars(module)


class Conditional(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, self.one.forward, self.other.forward, (x,))


@pytest.mark.parametrize("name", _EXPORTERS)
def test_a_branch_written_for_pytorchs_compiler_is_refused_by_what_it_is(name, exporter, capfd):
    exporter(name)
    with pytest.raises(InputError) as raised:
        estimate(Conditional(), torch.ones(1, 4))
    assert "flash" not in str(raised.value) and "\n" not in str(raised.value)
    assert not capfd.readouterr().out


@pytest.mark.skipif("newer" not in _EXPORTERS, reason="needs onnxscript")
def test_the_newer_exporter_prices_sums_by_an_index(capfd):
    edges = torch.randint(0, 9, (2, 40))
    assert priced(Summing(), (torch.rand(9, 16), edges))[1] == 9 * 16 * 64
    assert not capfd.readouterr().out


@pytest.mark.parametrize("name", _EXPORTERS)
def test_an_error_of_the_module_itself_is_one_line_and_leaves_all_as_it_was(name, exporter, capfd):
    exporter(name)
    module = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10)).train()
    module[1].eval()
    with pytest.raises(InputError, match="^Sequential: PyTorch cannot export it: [^\n]*shapes"):
        estimate(module, torch.rand(1, 11))
    assert capfd.readouterr() == ("", "")
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_class_in_place_of_a_module_is_refused_in_one_line(tmp_path):
    for call in (estimate, lambda m, x: shrink(m, "rpi4b", example_input=x, out=tmp_path / "out")):
        with pytest.raises(UsageError, match="^expected a torch module, got the class Branching; "):
            call(Branching, torch.ones(1, 10))
    with pytest.raises(UsageError, match="expected ONNX files or a torch module, got a function$"):
        estimate(lambda x: x, torch.ones(1, 10))
