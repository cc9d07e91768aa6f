"""Trainings on a Ray cluster end as they do here."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("ray", reason="needs the extra ray")

from image_sets import coloured, write_space  # noqa: E402

from flash.errors import UsageError  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402
from flash.training.images import ImageSet  # noqa: E402
from flash.training.jobs import Failed, Finished, Job  # noqa: E402
from flash.training.recipe import recipe_named  # noqa: E402
from flash.training.worker import perform  # noqa: E402
from flash.training.workers import train_on_ray  # noqa: E402

# Ray leaves files and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.slow
def test_a_local_cluster_trains_what_this_process_trains(tmp_path):
    place = str(write_space(tmp_path))
    images = ImageSet("colours", *coloured(120), *coloured(60, 1), classes=("r", "g", "b"))
    good = recipe_named("quick").varied(2)
    wild = type(good)(**{**vars(good), "peak_rate": 1e30})
    jobs = [Job(place, "w=4,4 d=3,3 t=0,0", recipe, 0) for recipe in (good, wild)]
    ends = {event.job: event for event in train_on_ray(jobs, tmp_path, images, "local")}
    space = load_space(place)
    network = space.network(space.design(space.family.parse(jobs[0].design)))
    here = perform(network, images, good, 0)["done"]["validation_accuracy"]
    assert isinstance(ends[jobs[0]], Finished) and ends[jobs[0]].validation_accuracy == here
    assert isinstance(ends[jobs[1]], Failed) and "no number" in ends[jobs[1]].reason


def test_an_address_without_a_cluster_is_told(tmp_path):
    images = ImageSet("colours", *coloured(12), *coloured(6, 1), classes=("r", "g", "b"))
    job = Job(str(write_space(tmp_path)), "w=4,4 d=3,3 t=0,0", recipe_named("quick"), 0)
    for address, message in (("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1"), ("x", "HOST:PORT")):
        with pytest.raises(UsageError, match=message):
            list(train_on_ray([job], tmp_path, images, address))
