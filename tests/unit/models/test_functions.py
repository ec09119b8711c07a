import hashlib
import inspect
import textwrap

import pytest

from raylabel.errors import ConfigError, UnknownName
from raylabel.models.functions import digests_of, load_function, short_name, source_digest

SETTING = "weak.functions"


def test_function_of_a_file_and_of_a_module(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def double(x):\n    return 2 * x\n")
    assert load_function(f"{file}:double", setting=SETTING)(4) == 8
    assert load_function("textwrap:dedent", setting=SETTING) is textwrap.dedent


def test_names_and_digests_are_those_of_the_source(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def one(x): ...\ndef two(x): ...\n")
    names = (f"{file}:one", f"{file}:two", "textwrap:dedent")
    assert [short_name(name) for name in names] == ["mine.py:one", "mine.py:two", "textwrap:dedent"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    module = hashlib.sha256(inspect.getsource(textwrap).encode()).hexdigest()
    found = {"mine.py:one": digest, "mine.py:two": digest, "textwrap:dedent": module}
    assert digests_of(names, setting=SETTING) == found
    assert source_digest("sys:exit") == hashlib.sha256(b"sys").hexdigest()  # has no file


@pytest.mark.parametrize("name", ["", "mine", "mine.py", ":one", "mine.py:", ":"])
def test_names_of_another_form(name):
    with pytest.raises(
        ConfigError, match=r'weak\.functions: got .*, expected "module:function" or "file\.py:function"'
    ):
        load_function(name, setting=SETTING)


def test_what_is_no_function(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("one = 1\ntwo: int\ndef three(): ...\n")
    with pytest.raises(ConfigError, match=r"weak\.functions: .*mine\.py:one is int, expected a function"):
        load_function(f"{file}:one", setting=SETTING)
    with pytest.raises(UnknownName, match=r"unknown function of .*mine\.py 'tree': did you mean three\?"):
        digests_of([f"{file}:tree"], setting=SETTING)


@pytest.mark.parametrize("name", ["/nowhere/mine.py:one", "no_such_package.models:one"])
def test_a_source_that_is_not_there(name):
    with pytest.raises(ConfigError, match=r"weak\.functions: .* cannot be imported here: "):
        load_function(name, setting=SETTING)
