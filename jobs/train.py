"""Fit the due round's model as a Ray job.

`ray job submit --working-dir jobs -- python train.py "$PWD/campaign.toml"`.
"""

import sys

from raylabel.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train"]
    main()
