"""A space so small, and images so plain, that a network trains in a tenth of a second."""

from __future__ import annotations

import numpy as np

SPACE = """
schema = "flash.space/1"
name = "tiny"
family = "concat"
classes = 3
input = { channels = 3, height = 8, width = 8 }
settings = { cells = 2, stem = 4 }

[variables]
w1 = [4, 8, 12]
d1 = [3, 4, 5]
t1 = [0, 4, 8]
w2 = [4, 8, 12, 16]
d2 = [3, 4, 5]
t2 = [0, 4, 8]
"""


def train_in_process(jobs, folder, workers):
    """What ``flash.training.workers.train_here`` does, without starting a process."""
    from flash.spaces.space import load_space
    from flash.training.images import ImageSet
    from flash.training.jobs import Started, event_of
    from flash.training.worker import perform

    images = ImageSet.load(folder / "images.npz")
    for job in jobs:
        yield Started(job)
        space = load_space(job.space)
        network = space.network(space.design(space.family.parse(job.design)))
        checkpoint = folder / job.file
        message = perform(network, images, job.recipe, job.seed, checkpoint, job.until)
        yield event_of(job, message)


def coloured(images, seed=0, size=8):
    """Noise, in class k a little brighter in channel k: (n, size, size, 3) bytes and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % 3
    pixels = rng.integers(0, 120, (images, size, size, 3))
    pixels[np.arange(images), :, :, labels] += 40
    return pixels.astype(np.uint8), labels


def write_space(folder):
    path = folder / "tiny.toml"
    path.write_text(SPACE)
    return path


def write_archive(folder, train=120, test=60):
    path = folder / "colours.npz"
    x_train, y_train = coloured(train, 0)
    x_test, y_test = coloured(test, 1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def write_folders(folder, images=30, size=10):
    """Class folders red, green, blue (in the order of their names: blue, green, red)."""
    from PIL import Image

    pixels, labels = coloured(images, 2, size)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        place = folder / ("red", "green", "blue")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03}.png")
    return folder
