import os

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


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    """Root lists every folder: the fault is the system's own, raised where it lists this one."""
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    whole = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    refused(tmp_path, r"dog: cannot be listed \(Permission denied\)$")
