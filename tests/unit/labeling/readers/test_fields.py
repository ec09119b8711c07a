from datetime import UTC, datetime

import numpy as np
import pytest

from raylabel.errors import AnswersError
from raylabel.labeling.readers.fields import MAX_SECONDS, check_fields, round_of, seconds_of, text_of, time_of


def test_text():
    assert [text_of(value) for value in (None, 0, "", "x")] == ["", "0", "", "x"]


@pytest.mark.parametrize("name", ["id", "annotator", "comment", "answer_id", "file"])
def test_texts_that_no_file_can_hold(name):
    check_fields({name: "caf\xe9 \U0001f642", "seconds": 1.5, "label": None}, where="here")
    with pytest.raises(AnswersError, match=rf"^here: {name} 'a\\ud800' holds half a character"):
        check_fields({name: "a\ud800"}, where="here")


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x"])
def test_fields_that_are_no_texts(value):
    check_fields({"extra": value}, where="here")
    with pytest.raises(AnswersError, match=r"^here: comment is neither a text nor a number$"):
        check_fields({"comment": value}, where="here")


def test_times():
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for text in ("2026-03-01T12:00:00Z", "2026-03-01T12:00", "2026-03-01T14:00+02:00"):
        assert time_of(text, where="here") == noon
    assert time_of("2026-03-01T14:00+02:00", where="here").tzinfo is UTC
    assert time_of("0001-01-01T14:00+14:00", where="here") == datetime(1, 1, 1, tzinfo=UTC)
    for text in ("0001-01-01T13:59+14:00", "9999-12-31T23:00-02:00"):
        with pytest.raises(AnswersError, match=r"^here: answered_at '.*' lies outside of the years 1 to 9999 in UTC$"):
            time_of(text, where="here")
    for value in ("yesterday", "10000-01-01", 5, "9" * 5000):
        with pytest.raises(AnswersError, match=r"^here: answered_at '.{1,40}' is no ISO 8601 time$"):
            time_of(value, where="here")


def test_seconds():
    assert [seconds_of(value, where="here") for value in (None, " ", "2.5", 0, MAX_SECONDS)] == [
        None,
        None,
        2.5,
        0.0,
        MAX_SECONDS,
    ]
    assert np.isfinite(np.float32(MAX_SECONDS))
    for value in ("soon", "nan", "-1", "inf", 1e39, "9" * 5000):
        with pytest.raises(AnswersError, match=r"^here: seconds '.{1,40}' is no number of seconds$"):
            seconds_of(value, where="here")


def test_rounds():
    asked = {0: "train", 2: "second_look", 10: "train"}
    found = [round_of(value, asked, where="here") for value in (None, " ", "0", 0, "002", " 10 ", "00")]
    assert found == [10, 10, 0, 0, 2, 10, 0]
    for value in ("1", "-0", "first", "9" * 5000, "1e1", "\u0662"):
        with pytest.raises(AnswersError, match=r"^here: round '.{1,40}' has not asked .* in round 0 and 2 and 10$"):
            round_of(value, asked, where="here")
