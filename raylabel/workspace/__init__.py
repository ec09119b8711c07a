"""Where everything of a campaign lies, and how each step is committed exactly once."""

from raylabel.workspace.lease import REVIEW, Lease, hold
from raylabel.workspace.records import Record, Records
from raylabel.workspace.store import Store, open_filesystem
from raylabel.workspace.tables import Part, read_batches, read_part, read_parts, write_part

__all__ = [
    "REVIEW",
    "Lease",
    "Part",
    "Record",
    "Records",
    "Store",
    "hold",
    "open_filesystem",
    "read_batches",
    "read_part",
    "read_parts",
    "write_part",
]
