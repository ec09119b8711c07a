"""Files of answers as the reader that fits them reads them, or refuses them."""

import pytest

from raylabel.errors import AnswersError
from raylabel.labeling.readers import reader_of


def read(path):
    """All that stands in a file."""
    return list(reader_of(path).read(path))


def refused(path, match):
    """It is refused with this message."""
    with pytest.raises(AnswersError, match=match):
        read(path)
