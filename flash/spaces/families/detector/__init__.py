"""Detectors of the YOLO type: backbone, neck, and the decoupled head of YOLOv8."""

from flash.spaces.families.detector.family import DetectorFamily

__all__ = ["DetectorFamily"]
