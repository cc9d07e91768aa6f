"""What runs on a board: sensors, timing, the journal; built into one file for devices.

Every module here but ``build`` and ``registry`` is a part of ``scripts/profile_device.py``, the
one file that a board gets. Parts are Python 3.8, need numpy and onnxruntime at most, and import
nothing from the rest of flash. After a change, ``python -m flash.device.build`` makes the file
anew; a test holds it against the parts.
"""
