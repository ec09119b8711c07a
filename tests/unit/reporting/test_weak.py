import io

import pytest
from rich.console import Console

from raylabel.reporting.weak import print_weak, verdict_on

FUNCTION = {"coverage": 0.25, "conflicts": 0.125, "accuracy": 0.75, "num_answered": 9, "num_right": 7}
SILENT = {"coverage": 0.0, "conflicts": 0.0, "accuracy": None, "num_answered": 0, "num_right": 0}
JUDGED = {"weight": 5.0, "log_loss": 1.25, "gain": 0.5, "standard_error": 0.125}
WEAK = {"functions": {"lf.py:sky": FUNCTION, "lf.py:sea": SILENT}, "num_items": 4_000, **JUDGED}


def test_a_row_for_each_function_and_the_verdict():
    file = io.StringIO()
    print_weak(Console(file=file, width=160, highlight=False), WEAK)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in file.getvalue().splitlines() if "│" in line]
    assert lines == [
        ["lf.py:sky", "25.0%", "12.5%", "75.0%", "7 of 9"],
        ["lf.py:sea", "0.0%", "0.0%", "never votes", "none answered"],
    ]
    assert file.getvalue().splitlines()[-1] == verdict_on(WEAK)


def test_nothing_is_printed_without_functions():
    file = io.StringIO()
    print_weak(Console(file=file), None)
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (
            {},
            "Weak labels of 4,000 items help the model: weight 5, log loss of held-out answers 1.250 without, "
            "0.750 with them.",
        ),
        (
            {"weight": 0.0, "gain": -0.25, "num_items": 1},
            "Weak labels of 1 item were left out: held-out answers do not clearly gain by them (log loss 1.250 "
            "without, 1.500 with them, standard error 0.125).",
        ),
        (
            {"weight": 0.0, "log_loss": None, "gain": None, "standard_error": None},
            "Weak labels of 4,000 items were left out: they say nothing, or no answer could be held out to judge them.",
        ),
    ],
)
def test_verdict(facts, says):
    assert verdict_on(WEAK | facts) == says
