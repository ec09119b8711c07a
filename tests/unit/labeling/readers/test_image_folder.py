from readers import read, refused


def test_image_folder(tmp_path):
    for name in ("cat/b/2.png", "cat/1.png", "big%2Fdog/3.png", "cat/.hidden", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read(tmp_path) == [
        (1, {"file": "3.png", "label": "big/dog"}),
        (2, {"file": "1.png", "label": "cat"}),
        (3, {"file": "b/2.png", "label": "cat"}),
    ]
    (tmp_path / "stray.png").touch()
    refused(tmp_path, r"stray\.png lies in no class; expected one folder for each class")
