"""raylabel labels millions of images with a few thousand human answers, and proves how right the labels are."""

__version__ = "0.1.0"
