"""Torch on one device: backbones by name, their weights, and heads. Knows nothing of Ray or storage layout.

Nothing is imported here: heads need no torch, and whoever trains one should not wait for it.
"""
