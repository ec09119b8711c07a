from readers import read, refused


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
