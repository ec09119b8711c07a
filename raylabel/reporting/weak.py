"""Labeling functions, on a terminal: how right each is, by the label model and by people, and what came of them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from raylabel.progress import counted


def print_weak(console: Console, weak: dict[str, Any] | None) -> None:
    """A row for each labeling function, and a line that says whether their labels were used.

    Args:
        console: to print on.
        weak: of the last round's facts; None where there are no functions.
    """
    if weak is None:
        return
    table = Table("function", "votes on", "disputed", "right, expected", "right on answers", title="labeling functions")
    for name, facts in weak["functions"].items():
        expected, num = facts["accuracy"], facts["num_answered"]
        table.add_row(
            name,
            f"{facts['coverage']:.1%}",
            f"{facts['conflicts']:.1%}",
            "never votes" if expected is None else f"{expected:.1%}",
            f"{facts['num_right']} of {num}" if num else "none answered",
        )
    console.print(table)
    console.print(verdict_on(weak))


def verdict_on(weak: dict[str, Any]) -> str:
    """Whether the last round used weak labels, and why, in a sentence; they are never counted as answers."""
    items = counted(weak["num_items"], "item")
    if weak["gain"] is None:
        return f"Weak labels of {items} were left out: they say nothing, or no answer could be held out to judge them."
    judged = f"{weak['log_loss']:.3f} without, {weak['log_loss'] - weak['gain']:.3f} with them"
    if weak["weight"]:
        return (
            f"Weak labels of {items} help the model: weight {weak['weight']:g}, log loss of held-out answers {judged}."
        )
    return (
        f"Weak labels of {items} were left out: held-out answers do not clearly gain by them (log loss {judged}, "
        f"standard error {weak['standard_error']:.3f})."
    )
