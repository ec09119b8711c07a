"""Embed a campaign's pool as a Ray job.

`ray job submit --working-dir jobs -- python embed.py "$PWD/campaign.toml"`.
"""

import sys

from raylabel.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["embed"]
    main()
