"""The house: unit tests mirror the package file by file, public names are those of __all__."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Held by the integration tests, which run them as a user does: the command line, the loop, Ray's pipeline and
# training; and plain data.
ELSEWHERE = {
    "cli/begin.py",
    "cli/bench.py",
    "cli/campaign.py",
    "cli/files.py",
    "cli/options.py",
    "cli/plan.py",
    "cli/review.py",
    "cli/search.py",
    "cli/verify.py",
    "__main__.py",
    "demo.py",
    "labeling/steps.py",
    "models/arithmetic.py",
    "reporting/formats/coco.py",
    "reporting/formats/fiftyone.py",
    "reporting/formats/fragments.py",
    "reporting/formats/hugging_face.py",
    "reporting/formats/image_folder.py",
    "reporting/formats/items.py",
    "reporting/formats/webdataset.py",
    "training/finetune.py",
    "training/worker.py",
    "training/work.py",
}


def test_unit_tests_mirror_the_package() -> None:
    code = {
        str(path.relative_to(ROOT / "raylabel"))
        for path in (ROOT / "raylabel").rglob("*.py")
        if path.name != "__init__.py"
    }
    tests = {
        str(path.relative_to(ROOT / "tests" / "unit").with_name(path.name.removeprefix("test_")))
        for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }
    assert code - tests - ELSEWHERE == set()
    assert tests - code == set()


PACKAGES = ["raylabel"] + [f"raylabel.{path.parent.name}" for path in sorted((ROOT / "raylabel").glob("*/__init__.py"))]


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    names = getattr(module, "__all__", [])
    assert sorted(names) == sorted(set(names))
    assert [missing for missing in names if not hasattr(module, missing)] == []


def test_the_top_says_what_users_import() -> None:
    import raylabel

    assert raylabel.__all__ == ["Config", "__version__", "load", "run"]
