"""A folder of classes with the images in them, as people sort them by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

from raylabel.errors import AnswersError


def read_folder(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Files in order of their paths; the first folder is the class, the rest of the path the file's name.

    Raises:
        AnswersError: a file that lies in no class, or a folder that cannot be listed.
    """

    def unlisted(error: OSError) -> NoReturn:
        raise AnswersError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    number = 0
    for folder, folders, files in os.walk(source, onerror=unlisted):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name).relative_to(source)
            if name.startswith(".") or (len(path.parts) == 1 and name == "README.md"):
                continue
            number += 1
            if len(path.parts) == 1:
                raise AnswersError(f"{source}: {name} lies in no class; expected one folder for each class")
            yield number, {"file": "/".join(path.parts[1:]), "label": unquote(path.parts[0])}
