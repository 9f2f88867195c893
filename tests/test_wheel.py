"""The wheel, in environments of its own: whole with the models, and the light core alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_audit

ROOT = Path(__file__).resolve().parents[1]


def pip(environment: Path, *arguments: str) -> None:
    command = [
        str(environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*command, *arguments], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    (path,) = folder.glob("finetune_audit-*.whl")
    return path


@pytest.fixture(scope="module")
def light(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip(folder, str(wheel))
    return folder / "bin" / "audit"


@pytest.fixture(scope="module")
def whole(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip(folder, f"{wheel}[models]")
    return folder / "bin"


@pytest.mark.slow
def test_the_installed_wheel_runs_the_demo_as_a_checkout_does(whole, tmp_path):
    written = tmp_path / "starter.yaml"
    subprocess.run([str(whole / "audit"), "init", str(written)], cwd=tmp_path, check=True)
    demo = [str(whole / "python"), "-m", "audit.demo"]
    ran = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (run,) = (tmp_path / "runs").glob("*/report.html")
    assert "BLOCKED" in run.read_text("utf-8")
    found = subprocess.run([str(whole / "audit"), "verify", str(run.parent)], cwd=tmp_path, check=False)
    assert found.returncode == 0


@pytest.mark.slow
def test_the_light_core_starts_validates_renders_and_verifies(light, tmp_path):
    _, run = tiny_audit.finished(tmp_path)
    shutil.rmtree(tmp_path / "runs" / "objects")
    (run / "report.html").unlink(missing_ok=True)
    written = tmp_path / "starter.yaml"
    for arguments, code in (
        (["init", str(written)], 0),
        (["validate", str(tmp_path / "tiny.yaml")], 0),
        (["gate", str(run)], None),
        (["report", str(run)], 0),
        (["verify", str(run)], 0),
    ):
        ran = subprocess.run([str(light), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert code is None or ran.returncode == code, (arguments, ran.stderr)
    assert (run / "report.html").is_file()
    assert written.read_text("utf-8").startswith("# yaml-language-server: $schema=")


@pytest.mark.slow
def test_the_light_core_says_what_training_needs(light, tmp_path):
    config = tiny_audit.files(tmp_path)
    ran = subprocess.run([str(light), "run", str(config)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stderr
    assert "install 'finetune-audit[models]'" in ran.stderr
    assert "Traceback" not in ran.stderr
