"""Score the input example of a logged model in an environment made from its requirements and nothing else.

`python tests/fresh_environment.py DIST` logs a model of each kind, installs its `requirements.txt` with the wheel
in the folder DIST into an empty environment, and compares what that answers with the direct scores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from served_shop import SETTINGS, ServedShop, serve_shop

STRANGER = """
import json, sys
import mlflow.pyfunc
found = {}
for path in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(path)
    found[path] = model.predict(model.input_example).to_dict("list")
print(json.dumps(found))
"""


def fresh_python(shop: ServedShop, dist: Path, folder: Path) -> Path:
    uv = Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"
    requirements = [f"--requirement={path}/requirements.txt" for path in shop.paths.values()]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    command = [uv, "pip", "install", "--quiet", "--python", python, *dist.glob("*.whl"), *requirements]
    subprocess.run(command, check=True)
    return python


def main(dist: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        shop = serve_shop(Path(scratch, "store"))
        python = fresh_python(shop, dist, Path(scratch, "fresh"))
        answer = subprocess.run(
            [python, "-c", STRANGER, *shop.paths.values()],
            env={"PATH": os.environ["PATH"], "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
            cwd=scratch,
            stdout=subprocess.PIPE,
            check=True,
        )
        found = json.loads(answer.stdout)
        for which, path in shop.paths.items():
            model = shop.models[which]
            expected = model.predict(model.synthetic_example(), **(SETTINGS if model.kind == "clv" else {}))
            for column in expected:
                np.testing.assert_allclose(found[path][column], expected[column], rtol=1e-9, err_msg=column)
    print("A fresh environment gives the same scores:", ", ".join(shop.paths))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
