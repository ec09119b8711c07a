import inspect
import pickle
import re

import pytest

from raylabel import errors
from raylabel.errors import AnswersError, ConfigError, LeaseHeld, PoolError, RaylabelError, UnknownName

EXIT_CODES = {
    "RaylabelError": 1,
    "ConfigError": 2,
    "UnknownName": 2,
    "PoolError": 2,
    "WeightsError": 2,
    "AnswersError": 2,
    "FingerprintError": 2,
    "QuarantineOverLimit": 3,
    "StorageError": 4,
    "FileChanged": 4,
    "WorkerLost": 4,
    "LeaseHeld": 5,
    "WaitingForPeople": 10,
}


def test_every_error_has_the_exit_code_of_the_contract():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert {kind.__name__: kind.exit_code for kind in kinds} == EXIT_CODES


def test_the_tree_drawn_in_the_module_is_the_tree():
    drawn = dict(re.findall(r"(?:├── |└── |    )(\w+) +(\d+)  ", errors.__doc__ or ""))
    assert {name: int(code) for name, code in drawn.items()} == EXIT_CODES
    parents = {name: getattr(errors, name).__base__.__name__ for name in EXIT_CODES if name != "RaylabelError"}
    assert parents.pop("UnknownName") == "ConfigError"
    assert parents.pop("FileChanged") == "StorageError"
    assert set(parents.values()) == {"RaylabelError"}
    assert not issubclass(LeaseHeld, PoolError)


@pytest.mark.parametrize(
    ("got", "hint"),
    [
        ("margn", "did you mean margin?"),
        ("entrop", "did you mean entropy?"),
        ("zzz", "known: badge, entropy, margin, random"),
    ],
)
def test_an_unknown_name_says_the_nearest_or_all(got, hint):
    error = UnknownName("strategy", got, ["random", "margin", "entropy", "badge"])
    assert str(error) == f"unknown strategy {got!r}: {hint}"


def test_an_unknown_name_between_several_near_ones_says_each():
    error = UnknownName("backbone", "resnet1", ["resnet18", "resnet101", "vgg"])
    assert str(error) == "unknown backbone 'resnet1': did you mean resnet18 or resnet101?"


def test_errors_travel_between_processes_whole():
    unknown = pickle.loads(pickle.dumps(UnknownName("strategy", "margn", (n for n in ["margin", "badge"]))))
    assert type(unknown) is UnknownName
    assert str(unknown) == "unknown strategy 'margn': did you mean margin?"
    assert unknown.exit_code == 2
    plain = pickle.loads(pickle.dumps(AnswersError("line 3: no such class")))
    assert (type(plain), str(plain)) == (AnswersError, "line 3: no such class")
    assert isinstance(unknown, ConfigError) and isinstance(plain, RaylabelError)
