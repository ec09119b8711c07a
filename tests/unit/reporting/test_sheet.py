import numpy as np
import pytest
from PIL import Image, ImageFont

from raylabel.errors import ConfigError
from raylabel.reporting.sheet import MAX_COLUMNS, MAX_LINES, SIDE, Cell, check_target, draw, fitted, place, write


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def at(sheet, line, column):
    left, top = place(line, column)
    return np.asarray(sheet)[top : top + SIDE, left : left + SIDE]


def test_pictures_lie_where_they_should():
    pictures = [[picture(0), picture(1), picture(2)], [picture(3)]]
    sheet = draw([[Cell(pixels, ()) for pixels in line] for line in pictures])
    for line, row in enumerate(pictures):
        for column, pixels in enumerate(row):
            assert np.array_equal(at(sheet, line, column), pixels)
    assert (at(sheet, 1, 1) == 255).all()
    covered = sum(SIDE * SIDE * 3 for row in pictures for _ in row)
    assert np.asarray(sheet).size - (np.asarray(sheet) == 255).sum() <= covered


def test_the_first_of_a_line_stands_apart():
    lefts = [place(0, column)[0] for column in range(4)]
    first, *others = np.diff(lefts)
    assert others == [SIDE + 8] * 2
    assert first == SIDE + 8 + 24
    tops = [place(line, 0)[1] for line in range(3)]
    assert np.diff(tops).tolist() == [SIDE + 42] * 2


def test_captions_stand_beneath_and_stay_in_their_column():
    cell = Cell(picture(0), ("a/very/long/path/that/does/not/fit/in/its/column/0001.jpg", "0.1234"))
    sheet = np.asarray(draw([[cell, cell]]))
    left, top = place(0, 0)
    beneath = sheet[top + SIDE : top + SIDE + 26]
    dark = (beneath < 128).all(axis=2)
    assert dark[:13, left : left + SIDE].sum() > dark[13:, left : left + SIDE].sum() > 20
    right = place(0, 1)[0]
    assert not dark[:, left + SIDE : right].any()
    assert not dark[:, right + SIDE :].any()


def test_what_has_no_picture_says_why():
    grey = at(draw([[Cell("missing", ("x",))]]), 0, 0)
    assert (grey[0, 0] == 224).all()
    assert 20 < (grey < 128).all(axis=2).sum() < 1000


def test_the_middle_of_a_text_gives_way():
    font = ImageFont.load_default(10)
    text = "photos/2024/spring/cat-0001.jpg"
    assert fitted(text, font, 1000) == text
    short = fitted(text, font, 90)
    head, tail = short.split("...")
    assert text.startswith(head) and text.endswith(tail) and len(tail) > len(head) > 2
    assert font.getlength(short) <= 90 < font.getlength(short.replace("...", "...x") + "xx")
    assert fitted("two\nlines", font, 100) == "two lines"


def test_nothing_to_show():
    assert draw([]).size == (8, 8)
    assert draw([[]]).size[1] > SIDE


def test_the_largest_sheet_fits_a_jpeg():
    left, top = place(MAX_LINES, MAX_COLUMNS)
    assert max(left, top) < 65_535
    assert left * top * 3 < 190e6


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_files(tmp_path, suffix):
    target = tmp_path / f"sheet{suffix}"
    flat = np.full((SIDE, SIDE, 3), (200, 30, 60), dtype=np.uint8)
    assert write([[Cell(flat, ("x",))]], target) == {"file": str(target), "num_lines": 1}
    assert np.abs(at(Image.open(target), 0, 0)[16:-16, 16:-16].astype(int) - flat[0, 0]).max() <= 3


def test_places_that_will_not_do(tmp_path):
    with pytest.raises(ConfigError, match=r"sheet\.gif: expected a name that ends in \.png, \.jpg or \.jpeg$"):
        check_target(tmp_path / "sheet.gif")
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere; make it or choose another$"):
        check_target(tmp_path / "nowhere" / "sheet.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ConfigError, match=r"taken\.png: cannot be written \(Is a directory\); choose another place$"):
        write([], tmp_path / "taken.png")
