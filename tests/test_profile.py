"""Hardware profiles: read strictly, written so that they read back the same."""

import re
from pathlib import Path

import pytest

from flash.errors import ProfileError, UsageError
from flash.files.locations import known_names
from flash.targets.processor.profile import load_profile, parse_profile
from flash.targets.processor.profile_file import profile_text, write_profile

SHIPPED = ("rpi3b", "rpi4b")


def edited(old: str | re.Pattern[str], new: str) -> str:
    """The shipped profile with the first place that reads ``old`` changed."""
    pattern = re.compile(re.escape(old)) if isinstance(old, str) else old
    text, changed = pattern.subn(lambda match: new, profile_text(load_profile("rpi3b")), count=1)
    assert changed == 1, old
    return text


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_load_under_their_own_name(name: str) -> None:
    assert name in known_names("hw_profiles")
    assert load_profile(name).name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_written_profile_reads_back_equal(name: str, tmp_path: Path) -> None:
    profile = load_profile(name)
    write_profile(profile, tmp_path / "copy.toml", "a comment\nof two lines")
    assert load_profile(str(tmp_path / "copy.toml")) == profile
    assert [p.name for p in tmp_path.iterdir()] == ["copy.toml"]


def test_every_runtime_states_its_held_out_error_and_source() -> None:
    for name in SHIPPED:
        for runtime in load_profile(name).runtimes.values():
            line = runtime.provenance_line
            assert "held out" in line
            assert "median error" in line
            assert "\n" not in line
            assert runtime.provenance.networks > 0 or runtime.kernels is not None
            assert runtime.provenance.sources


def test_the_summary_names_runtime_and_sources() -> None:
    summary = load_profile("rpi4b").summary()
    assert summary["name"] == "rpi4b"
    assert summary["threads"] == 4
    assert any("inference_results" in line for line in summary["provenance"])


def test_an_assumed_power_is_named_as_such_and_a_measured_one_is_not() -> None:
    for name, assumed in (("rpi3b", True), ("rpi4b", False)):
        profile = load_profile(name)
        (line,) = (x for x in profile.summary()["provenance"] if x.startswith("energy: "))
        assert ("assumed" in line) is assumed
        assert ("fitted" in line) is not assumed
        assert any("nearly its power times the latency" in note for note in profile.notes)


def test_a_runtime_is_picked_by_name_or_suffix() -> None:
    assert load_profile("rpi3b", "ncnn") == load_profile("rpi3b:ncnn")
    assert load_profile("rpi3b").runtime.name == "tvm"
    with pytest.raises(UsageError, match="did you mean 'ncnn'"):
        load_profile("rpi3b", "ncn")


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'rpi3b'"):
        load_profile("rpi3")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('schema = "flash.profile/1"', 'schema = "flash.profile/9"', "expected schema"),
        ('kind = "processor"', 'kind = "procesor"', "did you mean 'processor'"),
        ("overhead_us", "overhed_us", "'runtimes.ncnn.coefficients.overhead_us' is missing"),
        ("threads = 4", "threads = 4\nthread = 4", "unknown key .*did you mean 'threads'"),
        ("threads = 4", "threads = 4.5", "threads must be a whole number"),
        ("cores = 4", "cores = true", "cores must be a whole number"),
        ("clock_mhz = 1200.0", "clock_mhz = nan", "device.clock_mhz must be a number from 0 to"),
        ("clock_mhz = 1200.0", "clock_mhz = -1", "must be a number from 0 to 1e.09"),
        ("pointwise = ", "pointwise = -", "gmac_s.pointwise must be a number from 1e-06"),
        ('executes = "used"', 'executes = "unused"', "did you mean 'used'"),
        ('default_runtime = "tvm"', 'default_runtime = "tvn"', "did you mean 'tvm'"),
        ("power_w = 3.7", 'power_w = "3.7"', "power_w must be a number"),
        ("power_w = 3.7", "power_w = 0", "energy.power_w must be a number from 1e-06 to 1e.06"),
        ("power_w = 3.7", "power_w = 1e7", "energy.power_w must be a number from 1e-06 to 1e.06"),
        ("power_w = 3.7", "power_w = true", "energy.power_w must be a number"),
        ("power_w = 3.7", "power_w = " + "9" * 400, "energy.power_w must be a number"),
        ("power_w = 3.7", "power_w = " + "9" * 5000, "not valid TOML"),
        ("power_w = 3.7", "power_w = 0x" + "f" * 5000, "got a value too large to show"),
        ("power_w = 3.7", "power_w = " + "[" * 20_000, "nested too deeply"),
        ("cores = 4", "cores = " + "9" * 400, "cores must be a whole number from 0 to 1000000"),
        (
            re.compile(r"overhead_us = [\d.]+"),
            "overhead_us = 1e10",
            "overhead_us must be a number from 0 to 1e",
        ),
        (
            re.compile(r"gmac_s = \{ pointwise = [\d.]+"),
            "gmac_s = { pointwise = 1e-7",
            "gmac_s.pointwise must",
        ),
        (
            re.compile(r"gb_s = \{ pointwise = [\d.]+"),
            "gb_s = { pointwise = 1e10",
            "gb_s.pointwise must be",
        ),
        ("mj_per_gmac = 0.0", "mj_per_gmac = 1e300", "mj_per_gmac must be a number from 0 to 1e"),
        (
            re.compile(r"\nlow = [\d.]+"),
            "\nlow = 1e-4",
            "interval.low must be a number from 0.001 to 1",
        ),
        (
            re.compile(r"\nhigh = [\d.]+"),
            "\nhigh = 1001",
            "interval.high must be a number from 1 to 1000",
        ),
        (
            re.compile(r"outside_low = [\d.]+"),
            "outside_low = 0.99",
            "outside_low must be at most low, 0.",
        ),
        (
            re.compile(r"outside_high = [\d.]+"),
            "outside_high = 1.01",
            "outside_high must be at least high, 1.",
        ),
        ('cpu = "', 'cpu = "\\u001b', "cpu must be one line of text"),
        ("macs = [", "macs = [9e99, ", "macs must be"),
        ("[device]", "[device", "not valid TOML"),
    ],
)
def test_a_bad_profile_is_refused_with_its_place(
    old: str | re.Pattern[str], new: str, message: str
) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        parse_profile(edited(old, new), Path("my chip.toml"))
    assert "my chip.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(str(path))


def test_profiles_written_before_the_bounding_box_had_its_name_still_load(tmp_path: Path) -> None:
    text = profile_text(load_profile("rpi3b"))
    path = tmp_path / "older.toml"
    path.write_text(text.replace("bounding_box = {", "hull = {"), encoding="utf-8")
    assert "hull" in path.read_text(encoding="utf-8")
    assert load_profile(str(path)) == load_profile("rpi3b")
