"""The contract that gives a library to some modules alone."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = """
[importlinter]
root_packages =
    shop
include_external_packages = True
contract_types =
    only_in: tools.import_contracts.OnlyInContract

[importlinter:contract:1]
name = Redis has its connectors
type = only_in
libraries = redis
modules = shop.redis_*
"""


def test_only_modules_that_match_may_import_the_library(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "redis_state.py").write_text("import redis\n")
    (tmp_path / ".importlinter").write_text(CONTRACT)
    program = str(Path(sys.executable).with_name("lint-imports"))

    def lint() -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        command = [program, "--no-cache"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert lint().returncode == 0
    (tmp_path / "shop" / "cart.py").write_text("\nfrom redis import Redis\n")
    broken = lint()
    assert broken.returncode == 1
    assert "shop.cart:2 imports redis" in broken.stdout
