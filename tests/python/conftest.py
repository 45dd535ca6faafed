"""What every test here is given; `run.sh` sets the environment."""

import os
import pathlib
import subprocess

import pytest


@pytest.fixture(scope="session")
def run():
    """Folder of a finished run. Nobody may change it."""
    return pathlib.Path(os.environ["RUN"]).resolve()


@pytest.fixture(scope="session")
def artifacts():
    """Folder for what a person may want to look at afterwards."""
    return pathlib.Path(os.environ["ARTIFACTS"]).resolve()


@pytest.fixture(scope="session")
def fathom():
    """Runs the binary with arguments; returns what it says on stdout, fails if it fails."""
    binary = pathlib.Path(os.environ["FATHOM"]).resolve()

    def call(*arguments):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
