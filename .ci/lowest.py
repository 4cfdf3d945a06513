"""Print the lowest version that pyproject.toml allows of each dependency, as pip's constraints.

python .ci/lowest.py > constraints.txt
"""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for dependency in (*project["dependencies"], *project["optional-dependencies"]["plots"]):
    print(dependency.replace(">=", "=="))
