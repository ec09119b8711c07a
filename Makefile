# Each target does all of its own set-up, into .venv in this checkout. Needs Python 3.11+, git and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEV    := $(VENV)/.ready-dev
S3     := $(VENV)/s3-server/.ready
STUDIO := $(VENV)/label-studio/data/label_studio.sqlite3
WEB    := $(VENV)/.ready-browser
DAFT   := $(VENV)/peers-daft/.ready
OTHERS := $(VENV)/peers-autofaiss/.ready $(VENV)/peers-select/.ready
PIP    := --disable-pip-version-check --quiet

.PHONY: demo test check bench peers clean

demo: $(READY)
	$(BIN)/raylabel demo

test: check $(WEB)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(DEV) $(S3) $(STUDIO)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV) $(S3) $(WEB) $(DAFT) $(OTHERS)
	for name in decode engine label store rescore resume memory index selection efficiency rare certificate loops confidence people weak exchange review driver_memory campaign; do \
		$(BIN)/python benchmarks/$$name.py || exit 1; \
	done

peers: $(DEV) $(DAFT) $(OTHERS)

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("raylabel needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing raylabel and what it needs into $(VENV) (about 7.6 GB, a few minutes the first time)"
	$(BIN)/python -m pip install $(PIP) --editable .
	touch $@

$(DEV): $(READY)
	$(BIN)/python -m pip install $(PIP) --editable ".[dev]"
	touch $@

# The browser of the review page's tests: one that is there, else Debian's, else Playwright's own.
$(WEB): $(DEV)
	command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -y -q chromium; } \
		|| $(BIN)/playwright install chromium \
		|| { echo "no browser for the tests of the review page: install Debian's package chromium, or Google Chrome"; exit 1; }
	touch $@

# The S3 server of the tests pins other versions of libraries than raylabel uses: it gets an environment of its own.
$(S3):
	$(PYTHON) -m venv $(VENV)/s3-server
	$(VENV)/s3-server/bin/python -m pip install $(PIP) "ministack>=1.5"
	touch $@

# Label Studio and its SDK pin an older NumPy: an environment of their own, raylabel's packages behind theirs. Its
# empty database takes a minute to make: any command does that, and each test starts with a copy.
$(STUDIO): $(READY)
	$(PYTHON) -m venv $(VENV)/label-studio
	$(VENV)/label-studio/bin/python -m pip install $(PIP) "label-studio>=1.23"
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(VENV)/label-studio/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	LABEL_STUDIO_BASE_DATA_DIR=$(CURDIR)/$(VENV)/label-studio/data $(VENV)/label-studio/bin/label-studio version

# Daft pins an older pyarrow than raylabel uses: it gets an environment of its own. The .pth file puts raylabel's
# packages behind its own ones on the path, so that PyTorch is found there and not installed a second time.
$(DAFT): $(READY)
	$(PYTHON) -m venv $(VENV)/peers-daft
	$(VENV)/peers-daft/bin/python -m pip install $(PIP) "daft==0.7.26" pyarrow numpy
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(VENV)/peers-daft/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
	touch $@

# autofaiss wants NumPy 1; apricot is asked for nothing but its own selection.
$(VENV)/peers-autofaiss/.ready: $(READY)
	$(PYTHON) -m venv $(VENV)/peers-autofaiss
	$(VENV)/peers-autofaiss/bin/python -m pip install $(PIP) autofaiss "pyarrow<21"
	touch $@

$(VENV)/peers-select/.ready: $(READY)
	$(PYTHON) -m venv $(VENV)/peers-select
	$(VENV)/peers-select/bin/python -m pip install $(PIP) apricot-select scikit-learn
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
