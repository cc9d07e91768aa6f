"""``predict.py``, which ``flash.train`` writes beside a model: alone, without flash."""

from __future__ import annotations

from typing import Final

__all__ = ["PREDICT"]

#: The program. Usage errors end it with 2, files that cannot be used with 4, as flash's commands.
PREDICT: Final = '''"""Classes or numbers for files (images or .npy), by the model beside it."""
import argparse
import json
import pathlib
import sys


class Parser(argparse.ArgumentParser):
    def error(self, message):
        stop(2, f"{message} (see python {self.prog} --help)")


def stop(code, message):
    print(f"predict.py: {message}", file=sys.stderr)
    sys.exit(code)


def read_model():
    """The network, and how a file becomes what it reads."""
    try:
        import onnxruntime
    except ImportError as error:
        stop(2, f"{error}: pip install onnxruntime numpy pillow")
    here = pathlib.Path(__file__).parent
    path = next(iter(sorted(here.glob("*-trained.onnx"))), None)
    if path is None:
        stop(4, f"no *-trained.onnx in {here}: leave this program beside the model")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        how = json.loads(session.get_modelmeta().custom_metadata_map["flash.preprocessing"])
    except Exception as error:  # onnxruntime's errors have no common base
        stop(4, f"{path}: no model that flash.train wrote ({type(error).__name__})")
    return session, how


def read_array(path, shape):
    import numpy as np

    x = np.load(path, allow_pickle=False)
    if x.shape == (*shape[1:], shape[0]) != tuple(shape):
        x = np.moveaxis(x, -1, 0)  # channels last, as images have them
    if x.shape != tuple(shape) and (shape[0] != 1 or x.shape != tuple(shape[1:])):
        raise ValueError(f"an array of shape {x.shape}; the model reads {tuple(shape)}")
    return x.reshape(shape).astype(np.float32)


def read_image(path, how):
    import numpy as np

    if not how.get("colour"):
        raise ValueError(f"the model reads .npy arrays of shape {tuple(how['shape'])}")
    try:
        from PIL import Image
    except ImportError as error:
        stop(2, f"{error}: pip install pillow")
    try:
        image = Image.open(path).convert(how["colour"])
        image = image.resize(how["shape"][:0:-1], Image.Resampling.BICUBIC)
    except Image.UnidentifiedImageError:
        raise ValueError("is no image") from None
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be read as an image ({error})") from None
    return np.asarray(image, np.float32).reshape(*how["shape"][1:], -1).transpose(2, 0, 1)


def predicted(session, how, path):
    import numpy as np

    x = read_array(path, how["shape"]) if path.endswith(".npy") else read_image(path, how)
    shape = (-1, *[1] * (x.ndim - 1))
    x = (x - np.reshape(how["mean"], shape)) / np.reshape(how["deviation"], shape)
    y = session.run(None, {session.get_inputs()[0].name: x[None].astype(np.float32)})[0].ravel()
    if how["task"] == "classification":
        return how["names"][int(y.argmax())]
    if how["task"] == "regression":
        y = y * how["target_deviation"] + how["target_mean"]
    return dict(zip(how["names"], y.tolist()))


def main():
    parser = Parser(
        prog=pathlib.Path(sys.argv[0]).name,
        description=__doc__,
        epilog="Needs onnxruntime, numpy and pillow. Exit codes: 0 done, 2 wrong arguments, "
        "4 a file is missing or cannot be used (the others are done).",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="an image, or an array as .npy")
    files = parser.parse_args().files
    session, how = read_model()
    code = 0
    for path in files:
        try:
            print(path, predicted(session, how, path))
        except (OSError, ValueError, EOFError) as error:
            why = getattr(error, "strerror", None) or str(error)
            print(f"predict.py: {path}: {why}", file=sys.stderr)
            code = 4
    return code


if __name__ == "__main__":
    sys.exit(main())
'''
