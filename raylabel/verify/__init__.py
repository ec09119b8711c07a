"""A finished campaign's certificate, worked out again from the files of its workspace alone."""

from raylabel.verify.workspace import Check, open_workspace, verify

__all__ = ["Check", "open_workspace", "verify"]
