"""Run a whole campaign as a Ray job.

`ray job submit --working-dir jobs -- python run.py "$PWD/campaign.toml"`. Waits for people with
`--set labeling.wait=poll`; exit codes are those of `raylabel run`.
"""

import sys

from raylabel.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
