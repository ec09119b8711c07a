import tracemalloc

from readers import read, refused

from raylabel.labeling.readers.cvat import read_annotations


def test_cvat(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><version>1.1</version><image id="0" name="a/x.jpg" width="3" height="4">'
        '<tag label="cat" source="manual"></tag><box label="dog" xtl="0"/></image>'
        '<image id="1" name="y.jpg"/></annotations>'
    )
    assert read(path) == [(1, {"file": "a/x.jpg", "label": "cat"}), (2, {"file": "y.jpg", "label": ""})]
    path.write_text('<a><image name="x"><tag label="cat"/><tag label="dog"/></image></a>')
    refused(path, "image 1: has the tags cat and dog; an image has one label")
    for tag in ("<tag/>", '<tag label=""/>', '<tag label="cat"/><tag/>'):
        path.write_text(f'<a><image name="x"/><image name="y">{tag}</image></a>')
        refused(path, "image 2: has a tag without a label")
    path.write_text('<a><image name="x"/><image na')
    refused(path, "no XML behind image 1 .*is the file cut off")
    path.write_text("<a/>")
    refused(path, "holds no image; expected what CVAT writes")


def test_xml_bombs_and_foreign_entities_are_not_read(tmp_path):
    path = tmp_path / "a.xml"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    bomb = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a><image name="&c;"/></a>'
    foreign = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{secret}">]><a><image name="x"><tag label="&b;"/></image></a>'
    for text in (bomb, foreign):
        path.write_text(text)
        refused(path, "holds a document type or entities, which are not read")


def test_memory_does_not_grow_with_the_images(tmp_path):
    """40,000 empty elements alone would be 2.6 MB."""
    path = tmp_path / "a.xml"
    path.write_text("<a>" + '<image name="x"><tag label="cat"/></image>' * 40_000 + "</a>")
    tracemalloc.start()
    try:
        assert sum(row["label"] == "cat" for _, row in read_annotations(path)) == 40_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
