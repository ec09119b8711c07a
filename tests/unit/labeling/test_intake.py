import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image
from sheets import ASKED, AUDIT, lines, refused, taken, write

from raylabel.demo import DIGITS
from raylabel.errors import AnswersError, StorageError
from raylabel.labeling import intake
from raylabel.labeling.answers import Ledger, collect, standing
from raylabel.labeling.files import export_shortlist
from raylabel.labeling.intake import import_answers
from raylabel.labeling.readers import COCO, FOLDER, LABEL_STUDIO, SHEET, reader_of
from raylabel.pool import Want
from raylabel.pool.read import fetch_from
from raylabel.reporting.formats import FORMATS
from raylabel.reporting.formats.items import Labeled
from raylabel.workspace import Record, Store


@pytest.fixture
def asked(begin):
    """A round that asks people about five items, two of them of the audit."""
    tiny = begin(labeling={"labeler": "files"})
    tiny.publish(0, ASKED, strategy="margin")
    return tiny


def test_import_where_nobody_is_asked(tiny, tmp_path):
    """The oracle answers from the pool: an answer from a file would be mixed with its own."""
    tiny.publish(0, ASKED)
    source = write(tmp_path / "a.csv", [(tiny.ids[5], "five")])
    with pytest.raises(AnswersError, match=r'labeling\.labeler is "oracle".* set it to "files".* Nothing of it'):
        import_answers(tiny.campaign, source, AUDIT)
    assert taken(tiny) == []


def test_import_into_a_campaign_that_is_done(asked, tmp_path):
    asked.campaign.records.commit("labels/labels", Record(parts={"labels": []}))
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five")])
    with pytest.raises(AnswersError, match=r"the campaign is done; .*another workspace\. Nothing of it was taken"):
        import_answers(asked.campaign, source, AUDIT)
    assert taken(asked) == []


def test_import_csv(asked, tmp_path):
    header = ("id", "label", "kind", "annotator", "answered_at", "seconds", "comment", "extra")
    five, zero = asked.ids[5], asked.ids[0]
    rows = [
        (five, "five", "", "eve", "2026-03-01T10:00:00+02:00", "2.5", "smudged", "?"),
        (asked.ids[44], " zero ", "", "eve", "2026-03-01T10:00:00", "", "", ""),
        (zero, "", "cannot_tell", "eve", "", "", "", ""),
    ]
    source = write(tmp_path / "a.csv", rows, header)
    assert import_answers(asked.campaign, source, AUDIT) == (3, 3, 0)
    found = {row["id"]: row for row in collect(asked.campaign, 0).to_pylist()}
    first, second, third = found[five], found[asked.ids[44]], found[zero]
    assert first["answered_at"] == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert (first["label"], first["seconds"], first["comment"], first["purpose"]) == ("five", 2.5, "smudged", "train")
    assert (first["source"], first["round"]) == ("file", 0)
    assert second["answered_at"] == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert (second["label"], second["purpose"], second["seconds"], second["comment"]) == ("zero", "audit", None, None)
    assert (third["kind"], third["label"]) == ("cannot_tell", None)
    assert datetime.now(UTC) - third["answered_at"] < timedelta(minutes=5)


def test_exported_sheet_comes_back(asked, tmp_path):
    for suffix in (".csv", ".jsonl"):
        target = tmp_path / f"sheet{suffix}"
        export_shortlist(asked.campaign, asked.plan, target)
        assert import_answers(asked.campaign, target, AUDIT) == (0, 0, 5)
    with (tmp_path / "sheet.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1]["label"], rows[3]["kind"] = "seven", "skip"
    source = lines(tmp_path / "filled.jsonl", *rows)
    assert import_answers(asked.campaign, source, AUDIT) == (2, 2, 3)
    assert taken(asked) == sorted([(asked.ids[44], "label", "seven", ""), (asked.ids[12], "skip", None, "")])


def test_importing_twice_changes_nothing(asked, tmp_path):
    source = write(tmp_path / "a.csv", [(asked.ids[row], "three") for row in ASKED])
    assert import_answers(asked.campaign, source, AUDIT) == (5, 5, 0)
    before = collect(asked.campaign, 0)
    assert import_answers(asked.campaign, source, AUDIT) == (5, 0, 0)
    assert collect(asked.campaign, 0).equals(before)


def test_answers_to_an_earlier_round_are_taken(asked, tmp_path):
    asked.publish(1, [7])
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five"), (asked.ids[7], "seven")])
    assert import_answers(asked.campaign, source, AUDIT) == (2, 2, 0)
    assert collect(asked.campaign, 0).column("label").to_pylist() == ["five"]
    assert collect(asked.campaign, 1).column("label").to_pylist() == ["seven"]


def test_question_that_was_asked_again(asked, tmp_path):
    """An old sheet answers its own round and is no second look; a row without a round answers the last that asked."""
    old = tmp_path / "old.csv"
    export_shortlist(asked.campaign, asked.plan, old)
    with old.open(newline="") as file:
        rows = [row | {"label": "five"} for row in csv.DictReader(file) if row["id"] == asked.ids[5]]
    asked.publish(1, [5], strategy="second_look")
    assert export_shortlist(asked.campaign, asked.plan, tmp_path / "new.csv") == (1, 1)
    assert import_answers(asked.campaign, lines(tmp_path / "a.jsonl", *rows), AUDIT) == (1, 1, 0)
    assert collect(asked.campaign, 1).num_rows == 0
    del rows[0]["round"]
    assert import_answers(asked.campaign, lines(tmp_path / "b.jsonl", *rows), AUDIT) == (1, 1, 0)
    assert collect(asked.campaign, 0).column("purpose").to_pylist() == ["train"]
    assert collect(asked.campaign, 1).column("purpose").to_pylist() == ["second_look"]


def test_both_looks_of_one_person_may_stand_in_a_file(asked, tmp_path):
    asked.publish(1, [5], strategy="second_look")
    rows = [(asked.ids[5], "five", "eve", "0"), (asked.ids[5], "six", "eve", "1")]
    source = write(tmp_path / "both.csv", rows, ("id", "label", "annotator", "round"))
    assert import_answers(asked.campaign, source, AUDIT) == (2, 2, 0)
    assert [collect(asked.campaign, number).column("label").to_pylist() for number in (0, 1)] == [["five"], ["six"]]


def test_second_look_that_confirms_the_first_is_an_answer_of_its_own(asked, tmp_path):
    """What was imported in round 0 does not stand for the same words on the sheet of round 1."""
    header = ("id", "label", "annotator", "round")
    import_answers(asked.campaign, write(tmp_path / "a.csv", [(asked.ids[5], "five", "eve", "0")], header), AUDIT)
    asked.publish(1, [5], strategy="second_look")
    sheet = write(tmp_path / "q.csv", [(asked.ids[5], "five", "eve", "1")], header)
    with pytest.raises(AnswersError, match=r"q\.csv: is there, and 1 answer in it would be lost"):
        export_shortlist(asked.campaign, asked.plan, sheet)
    assert import_answers(asked.campaign, sheet, AUDIT) == (1, 1, 0)


@pytest.mark.parametrize("value", ["1", "first", "-1"])
def test_round_that_has_not_asked(asked, tmp_path, value):
    asked.publish(1, [7])
    rows = [(asked.ids[44], "four", ""), (asked.ids[5], "five", value)]
    source = write(tmp_path / "a.csv", rows, ("id", "label", "round"))
    refused(asked, source, f"line 3: round '{value}' has not asked about this item; it was asked in round 0")


def test_byte_order_mark(asked, tmp_path):
    source = tmp_path / "excel.csv"
    source.write_bytes(b"\xef\xbb\xbfid,label\r\n" + f"{asked.ids[5]},five\r\n".encode())
    assert import_answers(asked.campaign, source, AUDIT) == (1, 1, 0)
    source = tmp_path / "marked.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": asked.ids[0], "label": "zero"}).encode() + b"\n")
    assert import_answers(asked.campaign, source, AUDIT) == (1, 1, 0)
    assert taken(asked) == sorted([(asked.ids[5], "label", "five", ""), (asked.ids[0], "label", "zero", "")])


def test_rows_without_a_label_are_open_questions(asked, tmp_path):
    source = write(tmp_path / "a.csv", [(asked.ids[5], ""), (asked.ids[44], "  "), (asked.ids[0], "zero")])
    assert import_answers(asked.campaign, source, AUDIT) == (1, 1, 2)
    source = lines(tmp_path / "a.jsonl", {"id": asked.ids[5], "label": None}, {"id": asked.ids[44]})
    assert import_answers(asked.campaign, source, AUDIT) == (0, 0, 2)
    assert taken(asked) == [(asked.ids[0], "label", "zero", "")]


def test_numbers_in_jsonl_are_their_digits(begin, tmp_path):
    """Class names such as "0" come back from other tools as numbers; a zero is a label, not an open question."""
    tiny = begin(classes=[str(index) for index in range(10)], labeling={"labeler": "files"})
    tiny.publish(0, ASKED)
    source = lines(tmp_path / "a.jsonl", {"id": tiny.ids[0], "label": 0}, {"id": tiny.ids[5], "label": 5})
    assert import_answers(tiny.campaign, source, AUDIT) == (2, 2, 0)
    assert taken(tiny) == sorted([(tiny.ids[0], "label", "0", ""), (tiny.ids[5], "label", "5", "")])


def test_unknown_class(asked, tmp_path):
    rows = [(asked.ids[5], "five"), (asked.ids[44], "fourr")]
    message = r"line 3: unknown class 'fourr': did you mean four\? Nothing of it was taken$"
    refused(asked, write(tmp_path / "a.csv", rows), message)


def test_unknown_id(asked, tmp_path):
    rows = [(asked.ids[5], "five"), ("digit-5", "five")]
    refused(
        asked,
        write(tmp_path / "a.csv", rows),
        r"line 3: unknown id 'digit-5': no round has asked about it; did you mean digit-\d+\? Nothing",
    )
    never = asked.ids[59]
    refused(asked, lines(tmp_path / "a.jsonl", {"id": never, "label": "five"}), f"line 1: unknown id '{never}'")
    refused(asked, lines(tmp_path / "b.jsonl", {"label": "five"}), "line 1: unknown id ''")


def test_unknown_kind(asked, tmp_path):
    source = write(tmp_path / "a.csv", [(asked.ids[5], "", "skipp")], ("id", "label", "kind"))
    kinds = "label, skip, cannot_tell, retract"
    refused(asked, source, f"line 2: unknown kind 'skipp': expected one of {kinds}. Nothing of it was taken$")


def test_half_written_last_line(asked, tmp_path):
    text = f"id,image,label\n{asked.ids[5]},a.jpg,five\n{asked.ids[44]},b.j"
    source = tmp_path / "a.csv"
    source.write_text(text)
    refused(asked, source, r"line 3: too few columns; is the file cut off\?")
    source.write_text(f'id,label,comment\n{asked.ids[5]},five,ok\n{asked.ids[44]},four,"half')
    refused(asked, source, "line 3")
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"id": asked.ids[5], "label": "five"}) + '\n{"id": "digit')
    refused(asked, source, r"line 2: no JSON .*Nothing of it was taken")


def test_broken_line_in_the_middle_of_jsonl(asked, tmp_path):
    row = json.dumps({"id": asked.ids[5], "label": "five"})
    source = tmp_path / "a.jsonl"
    source.write_text(f"{row}\n{{'id': 1}}\n{row}\n")
    refused(asked, source, "line 2: no JSON")


@pytest.mark.parametrize("row", [5, None, ["digit-00", "zero"], "digit-00"])
def test_jsonl_line_that_is_no_object(asked, tmp_path, row):
    source = lines(tmp_path / "a.jsonl", {"id": asked.ids[5], "label": "five"}, row)
    refused(asked, source, "line 2: .*expected an object")


@pytest.mark.parametrize("value", ["soon", "nan", "-1"])
def test_seconds_that_are_no_number(asked, tmp_path, value):
    rows = [(asked.ids[5], "five", "1.5"), (asked.ids[44], "four", value)]
    source = write(tmp_path / "a.csv", rows, ("id", "label", "seconds"))
    refused(asked, source, f"line 3: seconds '{value}'")


def test_time_that_is_none(asked, tmp_path):
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five", "yesterday")], ("id", "label", "answered_at"))
    refused(asked, source, "line 2: answered_at 'yesterday' is no ISO 8601 time. Nothing of it was taken$")


def test_time_that_is_still_to_come(asked, tmp_path):
    """It would stay the annotator's last word, whatever they say later; clocks may be apart by a day."""
    header = ("id", "label", "answered_at")
    soon, late = (datetime.now(UTC) + timedelta(hours=hours) for hours in (23, 25))
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five", late.isoformat())], header)
    refused(
        asked, source, r"line 2: answered_at '\S+' is still to come; mend it, or leave it out. Nothing of it was taken$"
    )
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five", soon.isoformat())], header)
    assert import_answers(asked.campaign, source, AUDIT)[:2] == (1, 1)


def test_conflicting_rows(asked, tmp_path):
    name = asked.ids[5]
    source = write(tmp_path / "a.csv", [(name, "five"), (asked.ids[44], "four"), (name, "six")])
    refused(asked, source, f"line 4: the annotator says 'label six' of {name}, but 'label five' on line 2; keep one")
    header = ("id", "label", "kind", "annotator")
    source = write(tmp_path / "b.csv", [(name, "five", "", "eve"), (name, "", "skip", "eve")], header)
    refused(asked, source, f"line 3: eve says 'skip' of {name}, but 'label five' on line 2")


def test_rows_that_do_not_conflict(asked, tmp_path):
    name, header = asked.ids[5], ("id", "label", "kind", "annotator")
    rows = [(name, "five", "", "eve"), (name, "six", "", "adam"), (name, "five", "label", "eve")]
    assert import_answers(asked.campaign, write(tmp_path / "a.csv", rows, header), AUDIT) == (3, 2, 0)
    assert taken(asked) == [(name, "label", "five", "eve"), (name, "label", "six", "adam")]


def test_answer_id_of_two_answers(asked, tmp_path):
    """Answers are kept by their id: the second of two with the same one would be lost without a word."""
    header = ("id", "label", "answer_id")
    rows = [(asked.ids[5], "five", "a-1"), (asked.ids[44], "four", "a-1")]
    refused(asked, write(tmp_path / "a.csv", rows, header), "line 3: answer_id 'a-1' is that of line 2")
    rows = [(asked.ids[5], "five", "a-1"), (asked.ids[44], "four", "a-2"), (asked.ids[5], "five", "a-1")]
    assert import_answers(asked.campaign, write(tmp_path / "b.csv", rows, header), AUDIT) == (3, 2, 0)
    assert sorted(collect(asked.campaign, 0).column("answer_id").to_pylist()) == ["a-1", "a-2"]


def test_retracting(asked, tmp_path):
    name, header = asked.ids[5], ("id", "label", "kind")
    import_answers(asked.campaign, write(tmp_path / "a.csv", [(name, "five", "")], header), AUDIT)
    assert import_answers(asked.campaign, write(tmp_path / "b.csv", [(name, "", "retract")], header), AUDIT) == (
        1,
        1,
        0,
    )
    assert standing(collect(asked.campaign, 0)) == set()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", b"", "line 1: has no column 'id'"),
        ("a.csv", b"id;label\nx;y\n", "line 1: has no column 'id'"),
        ("a.csv", b"id,class\nx,y\n", "line 1: has no column 'label'"),
        ("a.csv", "id,label\ndigit-\xe9,zero\n".encode("latin-1"), "cannot be read .*save it as UTF-8"),
        ("a.xlsx", b"PK", "expected a .csv or .jsonl file, a .json of Label Studio or COCO, a .xml of CVAT"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_files_that_are_no_answers(asked, tmp_path, name, content, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(asked, tmp_path / name, match)


def test_a_file_is_read_as_what_it_is(tmp_path):
    (tmp_path / "tasks.json").write_text('\ufeff [{"data": {}}]', encoding="utf-8")
    (tmp_path / "coco.json").write_text('{"images": []}')
    assert reader_of(tmp_path) is FOLDER
    assert reader_of(tmp_path / "tasks.json") is LABEL_STUDIO and reader_of(tmp_path / "coco.json") is COCO
    assert reader_of(tmp_path / "a.csv") is reader_of(tmp_path / "a.jsonl") is SHEET
    assert [reader_of(tmp_path / f"a.{end}").source for end in ("xml", "parquet")] == ["cvat", "huggingface"]
    with pytest.raises(AnswersError, match=r"a\.zip: expected a \.csv or \.jsonl file, a \.json of Label Studio"):
        reader_of(tmp_path / "a.zip")
    with pytest.raises(AnswersError, match=r"gone\.json: cannot be read"):
        reader_of(tmp_path / "gone.json")


def labeled(tiny):
    """The asked items with their images and true labels."""
    facts = {"source": "human", "confidence": None, "round": 0, "model": None, "certificate": None}
    for shard, rows in tiny.plan.by_shard(ASKED):
        for item in fetch_from(tiny.plan, shard, rows, tiny.campaign.config.pool, tiny.campaign.store, Want()):
            index = int(tiny.truth[item.row])
            yield Labeled(item.row, item.image, {"id": item.id, "label": DIGITS[index], "label_index": index, **facts})


@pytest.mark.parametrize(
    ("named", "file", "source"),
    [
        ("imagefolder", "", "imagefolder"),
        ("coco", "annotations.json", "coco"),
        ("huggingface", "data/train-000000.parquet", "huggingface"),
    ],
)
def test_formats_with_images(asked, tmp_path, named, file, source):
    write, finish = FORMATS[named]
    place = Store(str(tmp_path / "out"))
    assert write(place, 0, labeled(asked), tuple(DIGITS)) == 5
    if finish:
        finish(place, [0], tuple(DIGITS))
    path = tmp_path / "out" / file
    assert import_answers(asked.campaign, path, AUDIT) == (5, 5, 0)
    assert import_answers(asked.campaign, path, AUDIT) == (5, 0, 0)
    said = {row["id"]: row for row in collect(asked.campaign, 0).to_pylist()}
    assert {name: row["label"] for name, row in said.items()} == {
        asked.ids[row]: DIGITS[asked.truth[row]] for row in ASKED
    }
    assert {row["source"] for row in said.values()} == {source}
    assert {row["purpose"] for row in said.values()} == {"train", "audit"}


def test_cvat(asked, tmp_path):
    images = "".join(
        f'<image id="{row}" name="{asked.ids[row]}.png"><tag label="{DIGITS[asked.truth[row]]}"/></image>'
        for row in ASKED[:4]
    )
    path = tmp_path / "a.xml"
    path.write_text(f'<annotations>{images}<image id="9" name="{asked.ids[30]}.png"/></annotations>')
    assert import_answers(asked.campaign, path, AUDIT) == (4, 4, 1)
    assert {row["label"] for row in collect(asked.campaign, 0).to_pylist()} == {
        DIGITS[asked.truth[row]] for row in ASKED[:4]
    }


def test_label_studio_tasks_come_back_by_their_data(asked, tmp_path):
    """One annotation each, one of them by two people."""
    at = "2026-03-01T11:00:00Z"
    tasks = [
        {
            "data": {"id": asked.ids[row], "round": 0},
            "annotations": [
                {
                    "id": 10 * row + by,
                    "completed_by": by,
                    "updated_at": at,
                    "result": [{"type": "choices", "value": {"choices": [DIGITS[asked.truth[row]]]}}],
                }
                for by in ((1, 2) if row == 5 else (1,))
            ],
        }
        for row in ASKED
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    assert import_answers(asked.campaign, path, AUDIT) == (6, 6, 0)
    assert import_answers(asked.campaign, path, AUDIT) == (6, 0, 0)
    assert {row["annotator"] for row in collect(asked.campaign, 0).to_pylist()} == {"labelstudio:1", "labelstudio:2"}


def test_all_or_nothing(asked, tmp_path):
    """A folder of a class that is none: the five good pictures before it are not taken either."""
    place = Store(str(tmp_path / "out"))
    FORMATS["imagefolder"][0](place, 0, labeled(asked), tuple(DIGITS))
    (tmp_path / "out" / "zzz").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "out" / "zzz" / f"{asked.ids[5]}.png")
    with pytest.raises(Exception, match=r"file 6: unknown class 'zzz'.*Nothing of it was taken"):
        import_answers(asked.campaign, tmp_path / "out", AUDIT)
    assert collect(asked.campaign, 0).num_rows == 0


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("comment", "a\ud800", "comment 'a.ud800' holds half a character"),
        ("annotator", "\udfff", "annotator '.udfff' holds half a character"),
        ("answer_id", "\ud800", "answer_id '.ud800' holds half a character"),
        ("id", "\ud800", "id '.ud800' holds half a character"),
        ("comment", ["x"], "comment is neither a text nor a number"),
        ("round", "9" * 5_000, "round '9{40}' has not asked about this item"),
        ("seconds", 1e39, r"seconds '1e\+39' is no number of seconds"),
        ("answered_at", "0001-01-01T00:00+14:00", "answered_at .* lies outside of the years 1 to 9999 in UTC"),
        ("answered_at", "9999-12-31T23:59-12:00", "answered_at .* lies outside of the years 1 to 9999 in UTC"),
    ],
)
def test_hostile_values(asked, tmp_path, field, value, match):
    row = {"id": asked.ids[5], "label": "five"}
    source = lines(tmp_path / "a.jsonl", row, row | {field: value})
    refused(asked, source, f"line 2: {match}.*Nothing of it was taken$")


def test_the_first_time_comes_back(asked, tmp_path):
    time = "0001-01-01T14:00+14:00"
    source = lines(tmp_path / "a.jsonl", {"id": asked.ids[5], "label": "five", "answered_at": time})
    assert import_answers(asked.campaign, source, AUDIT) == (1, 1, 0)
    assert collect(asked.campaign, 0).column("answered_at").to_pylist() == [datetime.fromisoformat(time)]


def test_an_id_counts_before_a_file(asked, tmp_path):
    rows = [(asked.ids[5], "five", asked.ids[44]), ("", "zero", f"sorted/{asked.ids[0]}")]
    source = write(tmp_path / "a.csv", rows, ("id", "label", "file"))
    assert import_answers(asked.campaign, source, AUDIT) == (2, 2, 0)
    assert taken(asked) == sorted([(asked.ids[5], "label", "five", ""), (asked.ids[0], "label", "zero", "")])


def test_a_label_after_a_retraction_is_no_contradiction(asked, tmp_path):
    """Of two labels it still is one, whatever was taken back."""
    name, header = asked.ids[5], ("id", "label", "kind")
    rows = [(name, "", "retract"), (name, "five", ""), (asked.ids[44], "four", ""), (name, "five", "")]
    assert import_answers(asked.campaign, write(tmp_path / "a.csv", rows, header), AUDIT) == (4, 2, 0)
    assert ("five" in {said[2] for said in taken(asked)}) and len(taken(asked)) == 2
    rows[3] = (name, "six", "")
    refused(asked, write(tmp_path / "b.csv", rows, header), "line 5: .*'label six' of .*, but 'label five' on line 3")


def test_a_fault_while_writing_leaves_nothing_of_any_round(asked, tmp_path, monkeypatch):
    """Round 1's answers cannot be written: those of round 0 lie there by then, and do not count."""
    asked.publish(1, [7])
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five"), (asked.ids[7], "seven")])
    whole = Ledger.write

    def torn(self, rows):
        if self.number == 1:
            raise StorageError("no space left")
        return whole(self, rows)

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(Ledger, "write", torn)
        import_answers(asked.campaign, source, AUDIT)
    assert collect(asked.campaign, 0).num_rows == collect(asked.campaign, 1).num_rows == 0
    assert import_answers(asked.campaign, source, AUDIT) == (2, 2, 0)


def test_a_kill_between_two_rounds_records_is_made_good(asked, tmp_path, monkeypatch):
    asked.publish(1, [7])
    source = write(tmp_path / "a.csv", [(asked.ids[5], "five"), (asked.ids[7], "seven")])
    whole = intake.commit

    def torn(campaign, number, name, parts):
        if number == 1:
            raise KeyboardInterrupt
        whole(campaign, number, name, parts)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(intake, "commit", torn)
        import_answers(asked.campaign, source, AUDIT)
    assert [collect(asked.campaign, number).num_rows for number in (0, 1)] == [1, 0]
    assert import_answers(asked.campaign, source, AUDIT) == (2, 1, 0)
    assert [collect(asked.campaign, number).column("label").to_pylist() for number in (0, 1)] == [["five"], ["seven"]]
