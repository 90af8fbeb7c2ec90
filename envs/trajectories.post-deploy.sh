#!/usr/bin/env bash
# The command `trajectories` of a conda environment: it runs the code of the workflow that calls it (the rules set PYTHONPATH).
set -euo pipefail
printf '#!/bin/sh\nexec "%s/bin/python" -m trajectories "$@"\n' "$CONDA_PREFIX" > "$CONDA_PREFIX/bin/trajectories"
chmod +x "$CONDA_PREFIX/bin/trajectories"
