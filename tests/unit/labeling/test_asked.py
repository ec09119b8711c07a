import numpy as np
import pytest

from raylabel.errors import AnswersError, RaylabelError
from raylabel.labeling.asked import AskedItems, newest_shortlist

NONE = np.empty(0, dtype=np.int64)


def test_nothing_was_asked(tiny):
    with pytest.raises(RaylabelError, match="no shortlist yet; `raylabel run` writes the first one"):
        AskedItems(tiny.campaign, NONE)


def test_the_audits_second_draw_is_the_newest(tiny):
    """It is asked about after the last of two rounds."""
    tiny.publish(1, [4, 5])
    tiny.publish(2, [6], strategy="audit")
    assert newest_shortlist(tiny.campaign)[0] == 2


def test_rounds_and_purposes(tiny):
    tiny.publish(0, [5, 6, 7])
    tiny.publish(1, [6, 8], strategy="second_look")
    asked = AskedItems(tiny.campaign, np.array([7]))
    told = {row: asked.rounds_of(tiny.ids[row], where="x") for row in (5, 6, 7, 8)}
    tiny.publish(2, [7, 9], strategy="gold")
    known = AskedItems(tiny.campaign, np.array([7]))
    assert known.rounds_of(tiny.ids[7], where="x") == {0: "audit", 2: "gold"}
    assert known.rounds_of(tiny.ids[9], where="x") == {2: "gold"}
    assert told == {5: {0: "train"}, 6: {0: "train", 1: "second_look"}, 7: {0: "audit"}, 8: {1: "second_look"}}
    assert [asked.position[tiny.ids[row]] for row in (5, 6, 7, 8)] == [0, 1, 2, 3]


class Named:
    """Ids as they come, asked about in one round."""

    def __new__(cls, *names):
        asked = AskedItems.__new__(AskedItems)
        asked.position = {name: place for place, name in enumerate(names)}
        asked._equal = asked._ends = None
        return asked


def test_files_are_known_by_ids_paths_and_names():
    asked = Named("a/1.png", "b/2.png", "part.parquet#3", "s3://bucket/x.jpg")
    for file, name in {
        "a/1.png": "a/1.png",
        "a/1.jpg": "a/1.png",  # as another kind of image
        "images/a/1.png": "a/1.png",
        "2.png": "b/2.png",
        "part.parquet%233.png": "part.parquet#3",
        "part.parquet#3": "part.parquet#3",
        "s3%3A/%/bucket/x.jpg": "s3://bucket/x.jpg",
    }.items():
        assert asked.id_of(file, where="here") == name


def test_files_that_could_be_several_or_none():
    asked = Named("a/1.png", "b/1.png", "c/2.png")
    assert asked.id_of("b/1.png", where="here") == "b/1.png"
    with pytest.raises(AnswersError, match=r"here: '1\.png' may be several of the items"):
        asked.id_of("1.png", where="here")
    for file in ("2.jpg", "2", "d/3.png", ""):  # another image of the same stem is another image
        with pytest.raises(AnswersError, match=rf"here: no item that was asked about goes by '{file}'"):
            asked.id_of(file, where="here")


def test_folders_that_differ_are_of_other_items():
    """Only train/001.jpg was asked about: what says another folder is not it, and no folder at all is."""
    asked = Named("train/001.jpg", "deep/er/002.jpg", "003.jpg")
    for file in ("test/001.jpg", "elsewhere/x/001.jpg", "rain/001.jpg", "x/002.jpg", "deep/002.jpg", "x/train/001.png"):
        with pytest.raises(AnswersError, match=rf"here: no item that was asked about goes by '{file}'"):
            asked.id_of(file, where="here")
    for file, name in {
        "001.jpg": "train/001.jpg",
        "/data/train/001.jpg": "train/001.jpg",
        "/train/001.jpg": "train/001.jpg",
        "./train/001.png": "train/001.jpg",
        "er/002.jpg": "deep/er/002.jpg",
        "any/where/003.jpg": "003.jpg",
    }.items():
        assert asked.id_of(file, where="here") == name


def test_the_longest_id_that_a_name_ends_in():
    asked = Named("1.png", "a/1.png", "x/b/1.png", "y/b/1.png", "a?/2.png", "2.png")
    assert asked.id_of("images/a/1.png", where="here") == "a/1.png"
    assert asked.id_of("images/c/1.png", where="here") == "1.png"
    assert asked.id_of("images/a%3F/2.png", where="here") == "a?/2.png"
    with pytest.raises(AnswersError, match=r"here: 'b/1\.png' may be several of the items"):
        asked.id_of("b/1.png", where="here")
