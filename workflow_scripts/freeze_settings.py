"""Write a stage's settings and the hash of its sources where its jobs will read them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dac.errors import UserError
from dac.storage.artifacts import write_json

params = snakemake.params
try:
    write_json(
        Path(snakemake.output[0]),
        {
            "settings": dict(params.settings),
            "modules": list(params.modules),
            "sources": params.sources,
        },
    )
except UserError as error:
    sys.exit(f"error: {error}")
